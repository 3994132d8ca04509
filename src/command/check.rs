//! `check`: proves that what a backup needs is there. The connections, the stanza in every repository,
//! the primary's archiving; then a WAL segment is switched and must arrive in every repository. A
//! standby is checked too, except for its WAL, which is the primary's.

mod archiving;

use std::{
    io::Write,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    Error, Result, branches,
    cluster::{self, Connected, Servers},
    context::{self, Repo},
    failures::Failures,
    own_place, source, tablespaces,
};
use crate::{
    backup,
    config::{BackupStandby, Config, OutputFormat},
    postgres::{self, SqlClient},
    repo::{
        archive::{StoredWal, WalArchive},
        lock,
        stanza::StanzaHistory,
    },
    types::{
        ArchiveFile, ArchiveId, ErrorCode, Failure, Lsn, PgVersion, StanzaName, SystemId,
        WalSegment,
    },
};

const PAUSE: Duration = Duration::from_millis(100);
/// Bytes that the record of a restore point takes in the WAL (`xl_restore_point`).
const RESTORE_POINT_LENGTH: u64 = 104;

/// What was found, as JSON.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failed>,
    repo: Vec<RepoReport>,
    stanza: String,
    standby: bool,
    system_id: Option<SystemId>,
    version: Option<PgVersion>,
    /// The segment that was looked for; `null` where none was.
    wal: Option<WalSegment>,
}

/// A repository that passed.
#[derive(Debug, Serialize)]
struct RepoReport {
    key: u16,
    /// Where it holds the segment.
    path: Option<String>,
}

/// Why the check failed.
#[derive(Debug, Serialize)]
struct Failed {
    code: u8,
    hint: Option<String>,
    message: String,
}

/// A repository and the directory of the cluster's WAL in it.
type Checked = (Repo, ArchiveId);

/// Checks the cluster and every repository.
pub(super) async fn run(config: &Config, out: &mut dyn Write) -> Result<u8> {
    let stanza = context::stanza(config)?;
    let mut report = Report { stanza: stanza.to_string(), ..Report::default() };
    let checked = check(config, stanza, &mut report).await;
    if config.output == OutputFormat::Json {
        report.error = checked.as_ref().err().map(|error| Failed {
            code: error.code().exit_code(),
            hint: error.hint(),
            message: error.to_string(),
        });
        let json = serde_json::to_string(&report).map_err(std::io::Error::from)?;
        writeln!(out, "{json}")?;
    }
    checked.map(|()| 0)
}

async fn check(config: &Config, stanza: &StanzaName, report: &mut Report) -> Result<()> {
    // archive-push stores nothing while the stop file is there.
    lock::check_not_stopped(&context::lock_path(config), stanza)?;
    own_place::check(config, config.pgs.values().filter_map(|pg| pg.path.as_deref()))?;
    let servers = cluster::servers(config).await?;
    check_source(config, &servers).await?;
    let all = context::repos(config)?;
    let mut failures = Failures::new("check", all.len());
    report.standby = servers.primary.is_none();
    if let Some(first) = servers.primary.as_ref().or(servers.standby.as_ref()) {
        report.system_id = Some(first.facts.system_id);
        report.version = Some(first.facts.version);
    }
    match servers.standby {
        Some(standby) => {
            let repos = check_stanza(&all, stanza, &standby, &mut failures).await?;
            tracing::info!("switch wal not performed because this is a standby");
            report.repo = without_wal(&repos);
            standby.sql.close().await;
        }
        None if config.backup.standby != BackupStandby::No => {
            tracing::warn!("option 'backup-standby' is enabled, but no standby can be reached");
        }
        None => {}
    }
    if let Some(primary) = servers.primary {
        let mut of_primary = Failures::new("check", all.len());
        let repos = check_stanza(&all, stanza, &primary, &mut of_primary).await?;
        report.repo = without_wal(&repos);
        check_wal(config, &primary, &repos, report, &mut of_primary).await?;
        primary.sql.close().await;
        of_primary.finish()?;
    }
    failures.finish()
}

/// Opens what a backup would read the files from, as a backup does: the role must be able to make one. Where
/// `backup-standby` leaves no server to take a backup from, another host's configuration does so.
async fn check_source(config: &Config, servers: &Servers) -> Result<()> {
    let Some(server) = servers.source(config.backup.standby) else { return Ok(()) };
    let opened = source::open(config, server.key, &server.options).await?;
    drop(opened);
    let all = server.sql.tablespaces().await?;
    tablespaces::warn_inside(server.facts.data_directory.as_deref(), &all);
    Ok(())
}

fn without_wal(repos: &[Checked]) -> Vec<RepoReport> {
    repos.iter().map(|(repo, _)| RepoReport { key: repo.key, path: None }).collect()
}

/// The primary's settings for archiving, and a segment that must arrive in every repository.
async fn check_wal(
    config: &Config,
    primary: &Connected,
    repos: &[Checked],
    report: &mut Report,
    failures: &mut Failures,
) -> Result<()> {
    if !config.archive.check {
        tracing::warn!("archive-check is off: not checking that WAL arrives in the archive");
        return Ok(());
    }
    archiving::check_settings(&primary.sql, config.archive.mode_check).await?;
    let wanted = segment_to_find(&primary.sql).await?;
    let segment = wanted.segment;
    let size = primary.sql.wal_segment_size().await?;
    report.wal = Some(segment);
    let deadline = Instant::now() + config.archive.timeout;
    report.repo.clear();
    for (repo, archive_id) in repos {
        tracing::info!("check repo{} archive for WAL (primary)", repo.key);
        let stanza = context::stanza(config)?;
        let archive = WalArchive::new(repo.storage.clone(), stanza, *archive_id)?;
        let found = match wait(&archive, &wanted, deadline).await {
            Ok(None) => Err(not_archived(segment, repo, config, &primary.sql).await),
            Ok(Some(stored)) => Ok(stored),
            Err(error) => Err(error),
        };
        let Some(stored) = failures.take(repo.key, found)? else { continue };
        let path = format!("{}/{}", repo.storage.location(), stored.path);
        tracing::info!(
            "WAL segment {segment} successfully archived to '{path}' on repo{}",
            repo.key
        );
        report.repo.push(RepoReport { key: repo.key, path: Some(path) });
        let warned = branches::warn(&archive, repo.key, size, segment.timeline).await;
        failures.take(repo.key, warned)?;
    }
    Ok(())
}

/// The stanza must exist in every repository, and be the cluster at hand; those of which this is true.
async fn check_stanza(
    repos: &[Repo],
    stanza: &StanzaName,
    cluster: &Connected,
    failures: &mut Failures,
) -> Result<Vec<Checked>> {
    let role = if cluster.facts.in_recovery { "standby" } else { "primary" };
    let mut checked = Vec::with_capacity(repos.len());
    for repo in repos {
        tracing::info!("check repo{} configuration ({role})", repo.key);
        let known = async {
            let history = StanzaHistory::read(&*repo.storage, stanza).await?;
            Ok(history.expect(cluster.id(), ErrorCode::FileInvalid)?.archive_id())
        };
        if let Some(archive_id) = failures.take(repo.key, known.await)? {
            checked.push((repo.clone(), archive_id));
        }
    }
    Ok(checked)
}

/// A segment that must come.
struct Wanted {
    segment: WalSegment,
    /// A restore point in it and where its record ends: a segment of this name may be another server's.
    point: Option<(String, Lsn)>,
}

/// The segment with a restore point that is made for this, and ended. A role that may not do that is content with the
/// last one the server archived.
async fn segment_to_find(sql: &SqlClient) -> Result<Wanted> {
    let denied =
        |error: &postgres::Error| matches!(error, postgres::Error::PermissionDenied { .. });
    let name = format!("pgstrata check {:016x}", rand::random::<u64>());
    let end = match sql.create_restore_point(&name).await {
        Err(error) if denied(&error) => return last_archived(sql).await,
        end => end?,
    };
    match sql.switch_wal().await {
        Err(error) if denied(&error) => last_archived(sql).await,
        switched => {
            switched?;
            let segment = sql.wal_file_name(end).await?.parse()?;
            Ok(Wanted { segment, point: Some((name, end)) })
        }
    }
}

async fn last_archived(sql: &SqlClient) -> Result<Wanted> {
    let grant = sql.grantee().grant_execute(&["pg_create_restore_point(text)", "pg_switch_wal()"]);
    tracing::warn!(
        "the role may not switch WAL: checking only for the last segment that the server archived\n\
         HINT: {grant}"
    );
    let last = sql.archiver().await?.last_archived_wal;
    let segment = last.as_deref().and_then(|name| name.parse::<ArchiveFile>().ok());
    let segment = segment.and_then(ArchiveFile::segment).ok_or_else(|| Error::Check {
        what: "the role may not switch WAL, and the server has archived no segment yet".to_owned(),
        code: ErrorCode::DbQuery,
        hint: grant.clone(),
    })?;
    Ok(Wanted { segment, point: None })
}

/// Waits for the segment; once it is there, its bytes are proven, and that they are this server's. `None` after the
/// deadline.
async fn wait(
    archive: &WalArchive,
    wanted: &Wanted,
    deadline: Instant,
) -> Result<Option<StoredWal>> {
    loop {
        if let Some(stored) = archive.find(ArchiveFile::Segment(wanted.segment)).await? {
            prove(archive, wanted, &stored).await?;
            return Ok(Some(stored));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn prove(archive: &WalArchive, wanted: &Wanted, stored: &StoredWal) -> Result<()> {
    let Some((name, end)) = &wanted.point else { return Ok(archive.verify(stored).await?) };
    let records = backup::records_before(archive, stored, *end, RESTORE_POINT_LENGTH).await?;
    let has_name = |records: Vec<u8>| records.windows(name.len()).any(|at| at == name.as_bytes());
    match records.is_none_or(has_name) {
        true => Ok(()),
        false => Err(Error::Check {
            what: format!(
                "WAL segment {} in the archive '{}' is not the one that this server wrote",
                wanted.segment,
                archive.directory()
            ),
            code: ErrorCode::ArchiveMismatch,
            hint: "another server archives into this stanza, such as a restored copy on the same timeline: give it a \
                   stanza of its own or restore copies with --archive-mode=off"
                .to_owned(),
        }),
    }
}

async fn not_archived(segment: WalSegment, repo: &Repo, config: &Config, sql: &SqlClient) -> Error {
    Error::Check {
        what: format!(
            "WAL segment {segment} was not archived to repo{} ('{}') before the {}s timeout",
            repo.key,
            repo.storage.location(),
            config.archive.timeout.as_secs_f64()
        ),
        code: ErrorCode::ArchiveTimeout,
        hint: archiving::explain(sql).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testing;

    #[test]
    fn the_report_tells_success_and_failure() {
        let mut report = Report {
            repo: vec![RepoReport { key: 1, path: Some("/r/archive/x".to_owned()) }],
            stanza: "demo".to_owned(),
            system_id: Some(SystemId(7)),
            version: PgVersion::new(15).ok(),
            wal: "000000010000000000000001".parse().ok(),
            ..Report::default()
        };
        insta::assert_snapshot!(serde_json::to_string(&report).unwrap());
        report.error = Some(Failed { code: 82, hint: None, message: "not archived".to_owned() });
        assert!(serde_json::to_string(&report).unwrap().starts_with(r#"{"error":{"code":82,"#));
    }

    #[tokio::test]
    async fn a_segment_that_does_not_come_is_none_after_the_deadline() {
        let dir = tempfile::tempdir().unwrap();
        let repo = testing::repo(dir.path(), 1);
        let id = "15-1".parse().unwrap();
        let archive = WalArchive::new(repo.storage, &testing::stanza_name(), id).unwrap();
        let segment = "000000010000000000000001".parse().unwrap();
        let wanted = Wanted { segment, point: None };
        assert_eq!(wait(&archive, &wanted, Instant::now()).await.unwrap(), None);
    }
}
