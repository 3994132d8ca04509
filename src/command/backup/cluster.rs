//! The cluster that is backed up: the source of its files, and sessions for SQL.

use std::{collections::BTreeSet, path::Path};

use async_trait::async_trait;

use crate::{
    backup::{self, ClusterDetails, ConnectedCluster, source::BackupSource},
    command::{
        Error, Result,
        cluster::{self, Connected},
        context,
        source::{self, Opened},
        tablespaces,
    },
    config::{BackupStandby, Config},
    postgres::{
        self, ArchiverFacts, ConnectOptions, ControlCheckpoint, Placement, Required, SqlClient,
        SummaryFacts, TablespaceInfo, version_directory,
    },
    repo::stanza::{ClusterId, StanzaEntry, StanzaHistory},
    types::{DataPath, ErrorCode, Failure, TimeLine, WalSegment, WalSegmentSize},
};

/// The connections to the cluster, and what SQL said of it.
pub(super) struct Cluster<'a> {
    config: &'a Config,
    source: Box<dyn BackupSource>,
    details: ClusterDetails,
    /// Answers, on the same server, what the replication protocol does not.
    sql: SqlClient,
    /// How the session for SQL was connected.
    options: ConnectOptions,
    /// The primary, if the source is a standby and the primary can be reached.
    primary: Option<Connected>,
}

impl<'a> Cluster<'a> {
    /// Chooses the server that the files come from, and opens the connections.
    pub(super) async fn connect(config: &'a Config) -> Result<Self> {
        let mut servers = cluster::servers(config).await?;
        let Connected { key, options, sql, facts } = servers.take_source(config.backup.standby)?;
        let Opened { source, directory } = source::open(config, key, &options).await?;
        if facts.in_recovery != source.facts().in_recovery {
            return Err(changed_role(key));
        }
        if facts.in_recovery {
            tracing::info!("backing up from standby pg{key}");
        }
        let details = ClusterDetails {
            databases: sql.databases().await?,
            tablespaces: sql.tablespaces().await?,
            version_directory: version_directory(facts.version, facts.catalog_version),
            several_sources: facts.in_recovery || config.backup.standby != BackupStandby::No,
            data_directory: directory,
        };
        tablespaces::warn_inside(facts.data_directory.as_deref(), &details.tablespaces);
        name_outside_files(&sql).await?;
        let primary = servers.primary.filter(|_| facts.in_recovery);
        Ok(Self { config, source, details, sql, options, primary })
    }

    /// Checks that the cluster is the stanza's and that it archives its WAL; returns the stanza's entry.
    pub(super) async fn check(&self, config: &Config, repo: &context::Repo) -> Result<StanzaEntry> {
        let facts = self.source.facts();
        let cluster = ClusterId { system_id: facts.system_id, version: facts.version };
        let history = StanzaHistory::read(&*repo.storage, context::stanza(config)?).await?;
        let entry = history.expect(cluster, ErrorCode::BackupMismatch)?.clone();
        if config.archive.check && config.archive.mode_check {
            self.check_archive_mode().await?;
        }
        Ok(entry)
    }

    /// The server that archives the WAL of the backup, where there is a session with it that has not ended.
    fn archiving_server(&self) -> Option<&SqlClient> {
        let server = match self.source.facts().in_recovery {
            true => self.primary.as_ref().map(|primary| &primary.sql),
            false => Some(&self.sql),
        };
        server.filter(|server| !server.is_closed())
    }

    async fn check_archive_mode(&self) -> Result<()> {
        let Some(server) = self.archiving_server() else { return Ok(()) };
        match server.setting_if_visible("archive_mode").await?.as_deref() {
            Some("off") => Err(Error::Check {
                what: "archive_mode must be enabled".to_owned(),
                code: ErrorCode::ArchiveDisabled,
                hint: "a backup needs the WAL written while it runs; set archive_mode=on and \
                       archive_command, or use --no-archive-check if WAL is archived by other means"
                    .to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

#[async_trait(?Send)]
impl ConnectedCluster for Cluster<'_> {
    fn source(&self) -> &dyn BackupSource {
        &*self.source
    }

    fn source_mut(&mut self) -> &mut dyn BackupSource {
        &mut *self.source
    }

    fn details(&self) -> &ClusterDetails {
        &self.details
    }

    async fn summaries(&self, timeline: TimeLine) -> Answer<SummaryFacts> {
        Ok(self.sql.summaries(timeline).await?)
    }

    async fn tablespaces(&self) -> Answer<Vec<TablespaceInfo>> {
        Ok(self.sql.tablespaces().await?)
    }

    async fn placement(&self) -> Answer<Placement> {
        Ok(self.sql.placement().await?)
    }

    async fn still_required(&self, missing: BTreeSet<Required>) -> Answer<BTreeSet<Required>> {
        Ok(self.sql.still_required(&self.details.version_directory, missing).await?)
    }

    async fn reread(&self, path: &DataPath, offset: u64, length: u32) -> Answer<Option<Vec<u8>>> {
        match &self.details.data_directory {
            Some(directory) => Ok(directory.read_page(path, offset, length)?),
            None => Ok(self.sql.reread_page(path, offset, length).await?),
        }
    }

    async fn archiver_setting(&self, name: &str) -> Answer<Option<String>> {
        match self.archiving_server() {
            Some(server) => Ok(server.setting_if_visible(name).await?),
            None => Ok(None),
        }
    }

    async fn archiver(&self) -> Answer<Option<ArchiverFacts>> {
        let Some(server) = self.archiving_server() else { return Ok(None) };
        match server.archiver().await {
            // WAL is looked for in the archive, whatever becomes of the server meanwhile.
            Err(_) if server.is_closed() => Ok(None),
            facts => Ok(Some(facts?)),
        }
    }

    async fn restartpoint(&self) -> Answer<ControlCheckpoint> {
        Ok(self.sql.control_checkpoint().await?)
    }

    async fn renew_sessions(&mut self) -> Answer<()> {
        if self.sql.is_closed() {
            tracing::info!("the SQL connection was lost; reconnecting");
            self.sql = SqlClient::connect(&self.options).await?;
        }
        if let Some(primary) = self.primary.as_mut().filter(|primary| primary.sql.is_closed()) {
            match SqlClient::connect(&primary.options).await {
                Ok(sql) => primary.sql = sql,
                Err(error) => tracing::warn!("the connection to the primary was lost: {error}"),
            }
        }
        Ok(())
    }

    async fn follow_promotion(&mut self, from: TimeLine, to: TimeLine) {
        if !self.source.facts().in_recovery || from == to {
            return;
        }
        tracing::info!(
            "the standby switched from timeline {from} to {to} during the backup: WAL of both is \
             needed"
        );
        self.primary = cluster::primary_on(self.config, to, self.source.facts().system_id).await;
    }

    async fn explain(&mut self, error: backup::Error) -> backup::Error {
        let error = match error {
            backup::Error::Postgres(error)
                if self.source.facts().in_recovery && error.may_be_of_promotion() =>
            {
                error
            }
            error => return error,
        };
        let is_promoted = async {
            if self.sql.is_closed() {
                self.sql = SqlClient::connect(&self.options).await?;
            }
            Ok::<_, postgres::Error>(!self.sql.is_in_recovery().await?)
        };
        match is_promoted.await {
            Ok(true) => error.of_promotion().into(),
            Ok(false) => error.into(),
            Err(unknown) => {
                tracing::debug!("unable to check whether the standby was promoted: {unknown}");
                error.into()
            }
        }
    }

    async fn end_segment(&self, segment: WalSegment) {
        let Some(primary) = &self.primary else {
            tracing::info!(
                "segment {segment} is archived when it is full or after archive_timeout of the \
                 primary; configure the primary as a pgN, so that it is asked to switch WAL"
            );
            return;
        };
        let size = self.source.facts().wal_segment_size;
        match end_segment(&primary.options, segment, size).await {
            Ok(()) => {}
            Err(error @ postgres::Error::PermissionDenied { .. }) => tracing::warn!(
                "unable to switch WAL on the primary to end segment {segment}: {error}\n\
                 HINT: {}",
                error.hint().unwrap_or_default()
            ),
            Err(error) => {
                tracing::warn!(
                    "unable to switch WAL on the primary to end segment {segment}: \
                                {error}"
                );
            }
        }
    }
}

/// Answer to a question of the backup engine.
type Answer<T> = std::result::Result<T, backup::Error>;

/// Names the configuration files that no source finds in the data directory.
async fn name_outside_files(sql: &SqlClient) -> Result<()> {
    let Some(data) = sql.setting_if_visible("data_directory").await? else {
        return Ok(());
    };
    let mut outside = Vec::new();
    for name in ["config_file", "hba_file", "ident_file"] {
        let path = sql.setting_if_visible(name).await?;
        outside.extend(path.filter(|path| !Path::new(path).starts_with(&data)));
    }
    if !outside.is_empty() {
        tracing::info!(
            "not in the backup, because they are outside of the data directory: {}",
            outside.join(", ")
        );
    }
    Ok(())
}

/// Ends `segment` on the primary, unless it has got past it already. The session is a new one: that of
/// the start may have been cut in the hours since.
async fn end_segment(
    primary: &ConnectOptions,
    segment: WalSegment,
    size: WalSegmentSize,
) -> postgres::Result<()> {
    let sql = SqlClient::connect(primary).await?;
    let written = sql.current_wal_lsn().await?;
    if WalSegment::ending_at(written, segment.timeline, size) <= segment {
        sql.switch_wal().await?;
    }
    sql.close().await;
    Ok(())
}

fn changed_role(key: u16) -> Error {
    Error::Check {
        what: format!("pg{key} was just promoted or demoted"),
        code: ErrorCode::DbMismatch,
        hint: "run the backup again".to_owned(),
    }
}
