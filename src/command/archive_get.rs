//! `archive-get`: PostgreSQL's `restore_command`.
//!
//! PostgreSQL takes every exit code up to 125 as "there is no such file" and ends recovery there. So
//! 1 is returned only for proven absence; any other failure is raised above 125, which stops the
//! server instead of promoting it, except on a standby, which tries again by itself.

use std::path::{Path, PathBuf};

use super::{Error, Result, context};
use crate::{
    config::Config,
    repo::{
        self,
        archive::WalArchive,
        lock,
        stanza::{ClusterId, StanzaHistory},
    },
    storage::ErrorKind,
    types::{ArchiveFile, ArchiveId, HistoryId},
    wal::{self, GetOptions, GetOutcome, get},
};

/// The number of a stanza's first cluster.
const FIRST: HistoryId = HistoryId(1);
/// The exit code of a file that is not in the archive.
const ABSENT: u8 = 1;
/// The exit code of any failure that must stop recovery: above 125, and no shell's word for a signal.
const STOPS_RECOVERY: u8 = 160;

/// The exit code of an archive-get whose configuration could not be read.
pub(super) fn exit_code_before_config() -> u8 {
    STOPS_RECOVERY
}

/// Fetches the file that the command line names, from the first repository that has it.
pub(super) async fn run(config: &Config) -> Result<u8> {
    let stanza = context::stanza(config)?;
    lock::check_not_stopped(&config.lock_path, stanza)?;
    let file: ArchiveFile = context::argument(config, 0, "the name of a WAL file")?.parse()?;
    let destination = destination(config)?;
    let mut failed = None;
    for repo in context::repos_one_by_one(config)? {
        match fetch(config, &repo, file, &destination).await {
            Ok(GetOutcome::Delivered) => return Ok(0),
            Ok(GetOutcome::Absent) => {}
            Err(error) => {
                tracing::warn!("repo{}: {error}", repo.key);
                failed.get_or_insert(error);
            }
        }
    }
    match failed {
        Some(error) => Err(error),
        None => {
            tracing::info!("unable to find {file} in the archive");
            Ok(ABSENT)
        }
    }
}

/// Looks in the archive of the cluster that the data directory belongs to; without one to read, in
/// that of the newest cluster of the stanza.
async fn fetch(
    config: &Config,
    repo: &context::Repo,
    file: ArchiveFile,
    destination: &Path,
) -> Result<GetOutcome> {
    let local = context::local_cluster(config)?;
    let mut absent_in_first = false;
    if let Some(cluster) = local
        && matches!(file, ArchiveFile::Segment(_))
    {
        match from_first(config, repo, cluster, file, destination).await {
            Some(Ok(GetOutcome::Absent)) => absent_in_first = true,
            Some(fetched) => return fetched,
            None => {}
        }
    }
    let stanza = context::stanza(config)?;
    let history = StanzaHistory::read(&*repo.storage, stanza).await?;
    let entry = match local {
        Some(cluster) => history.entry_of(cluster)?,
        None => history.current(),
    };
    match absent_in_first && entry.id == FIRST {
        true => Ok(GetOutcome::Absent),
        false => from(config, repo, entry.archive_id(), entry.cluster, file, destination).await,
    }
}

/// Most clusters are the first of their stanza, and a segment says of itself which cluster it is of. So it is looked for
/// in the first archive before the history is asked for, which spares a store behind a network half the requests.
/// `None`: it cannot be told without the history.
async fn from_first(
    config: &Config,
    repo: &context::Repo,
    cluster: ClusterId,
    file: ArchiveFile,
    destination: &Path,
) -> Option<Result<GetOutcome>> {
    let first = ArchiveId { version: cluster.version, history_id: FIRST };
    match from(config, repo, first, cluster, file, destination).await {
        // Asked again, it would not answer either.
        Err(Error::Wal(wal::Error::Repo(repo::Error::Storage(error))))
            if error.kind() == ErrorKind::Transient =>
        {
            Some(Err(Error::Wal(wal::Error::Repo(error.into()))))
        }
        Err(_) => None,
        fetched => Some(fetched),
    }
}

async fn from(
    config: &Config,
    repo: &context::Repo,
    archive: ArchiveId,
    cluster: ClusterId,
    file: ArchiveFile,
    destination: &Path,
) -> Result<GetOutcome> {
    let archive = WalArchive::new(repo.storage.clone(), context::stanza(config)?, archive)?;
    let options = GetOptions { cluster: Some(context::wal_identity(cluster)), durable: false };
    Ok(get(&archive, file, destination, options).await?)
}

/// `%p` is relative to the data directory, which is where PostgreSQL runs the command.
fn destination(config: &Config) -> Result<PathBuf> {
    let given = Path::new(context::argument(config, 1, "the path to write the WAL file to")?);
    context::no_more_arguments(config, 2)?;
    let root = config.pgs.values().find_map(|pg| pg.path.as_ref());
    match root {
        Some(root) if given.is_relative() => Ok(root.join(given)),
        _ => Ok(given.to_owned()),
    }
}

/// The exit code of an archive-get that failed under `code`.
pub(super) fn failure_exit_code(config: &Config, code: u8) -> u8 {
    let is_standby = |path: &PathBuf| path.join("standby.signal").exists();
    match config.pgs.values().filter_map(|pg| pg.path.as_ref()).any(is_standby) {
        true => code,
        false => STOPS_RECOVERY,
    }
}
