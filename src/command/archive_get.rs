//! `archive-get`: PostgreSQL's `restore_command`.
//!
//! PostgreSQL takes every exit code up to 125 as "there is no such file" and ends recovery there. So
//! 1 is returned only for proven absence; any other failure is raised above 125 (see `exit`), which stops the
//! server instead of promoting it, except on a standby, which tries again by itself.

use std::{path::PathBuf, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::timeout;

use super::{Error, Exit, Result, caller::Caller, context};
use crate::{
    config::Config,
    repo::{
        self,
        archive::{StoredWal, WalArchive},
        backup_list, lock,
        stanza::{ClusterId, StanzaEntry, StanzaHistory},
    },
    storage::ErrorKind,
    types::{ArchiveFile, ArchiveId, ErrorCode, HistoryId, StanzaName},
    wal::{self, GetOptions, deliver},
};

/// The number of a stanza's first cluster.
const FIRST: HistoryId = HistoryId(1);
/// The exit code of a file that is not in the archive.
const ABSENT: u8 = 1;
/// How long a repository is waited for before the next one is asked beside it: a store that is gone would cost its
/// timeout and all its retries for every file.
const PATIENCE: Duration = Duration::from_millis(500);

/// Fetches the file that the command line names, from the first repository that has it.
pub(super) async fn run(config: &Config, exit: &mut Exit) -> Result<u8> {
    if config.archive.stop_standby {
        exit.stop_standby_too()?;
    }
    let stanza = context::stanza(config)?;
    lock::check_not_stopped(&context::lock_path(config), stanza)?;
    let file: ArchiveFile = context::argument(config, 0, "the name of a WAL file")?.parse()?;
    let destination = destination(config)?;
    let caller = Caller::of(&destination);
    // A server that recovers does not ask again, a standby does and could stream meanwhile.
    let asks_again = caller.is_standby() && !config.archive.stop_standby;
    let stall = asks_again.then_some(config.archive.stall_timeout);
    let watch = exit.watch(stall);
    let repos = match stall {
        Some(stall) => context::repos_at_once(&context::giving_up_early(config, stall), watch)?,
        None => context::repos_at_once(config, watch)?,
    };
    let cluster = watch.run(0, || caller.cluster())?;
    let wanted = Wanted { stanza, file, destination, cluster };
    match wanted.deliver_from_any(&repos).await? {
        true => Ok(0),
        false => {
            tracing::info!("unable to find {file} in the archive");
            Ok(ABSENT)
        }
    }
}

/// The path given; where it is relative, it is one of the working directory, which PostgreSQL makes the data directory.
fn destination(config: &Config) -> Result<PathBuf> {
    let given = context::argument(config, 1, "the path to write the WAL file to")?;
    context::no_more_arguments(config, 2)?;
    Ok(PathBuf::from(given))
}

/// The file to fetch.
struct Wanted<'a> {
    stanza: &'a StanzaName,
    file: ArchiveFile,
    destination: PathBuf,
    /// The cluster of the server that asks, where a server does.
    cluster: Option<ClusterId>,
}

/// The file in the archive of a repository.
struct Found {
    archive: WalArchive,
    stored: StoredWal,
    cluster: ClusterId,
    /// Whether it was looked for before the stanza's history was asked which archive is the cluster's.
    early: bool,
}

impl Wanted<'_> {
    /// Delivers the file from the first repository that can; `false` where it is in none of them, which each has to
    /// say. They are asked in their order, the next one as soon as one failed, has no file, or does not answer.
    async fn deliver_from_any(&self, repos: &[context::Repo]) -> Result<bool> {
        let mut next = repos.iter();
        let mut lookups = FuturesUnordered::new();
        let (mut failed, mut last) = (None, 0);
        loop {
            if lookups.is_empty() {
                match next.next() {
                    Some(repo) => {
                        last = repo.key;
                        lookups.push(self.look_up_in(repo));
                    }
                    None => break,
                }
            }
            let answer = match next.len() {
                0 => lookups.next().await,
                _ => match timeout(PATIENCE, lookups.next()).await {
                    Ok(answer) => answer,
                    Err(_) => {
                        let wait = PATIENCE.as_millis();
                        tracing::warn!(
                            "repo{last}: no response within {wait}ms, trying the next repository \
                             too"
                        );
                        if let Some(repo) = next.next() {
                            last = repo.key;
                            lookups.push(self.look_up_in(repo));
                        }
                        continue;
                    }
                },
            };
            let Some((repo, found)) = answer else { continue };
            match self.deliver_from(repo, found).await {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!("repo{}: {error}", repo.key);
                    failed.get_or_insert(error);
                }
            }
        }
        failed.map_or(Ok(false), Err)
    }

    async fn look_up_in<'r>(
        &self,
        repo: &'r context::Repo,
    ) -> (&'r context::Repo, Result<Option<Found>>) {
        (repo, self.look_up(repo).await)
    }

    /// Looks in the archive of the cluster that asks; where no server does, in that of the newest cluster of the
    /// stanza.
    async fn look_up(&self, repo: &context::Repo) -> Result<Option<Found>> {
        let mut absent_in_first = false;
        if let (Some(cluster), ArchiveFile::Segment(_)) = (self.cluster, self.file) {
            // Most clusters are the first of their stanza, and a segment says of itself which cluster it is of. So it
            // is looked for in the first archive before the history is asked for, which spares a store behind a
            // network half the requests.
            let first = ArchiveId { version: cluster.version, history_id: FIRST };
            match self.find(repo, first, cluster, true).await {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => absent_in_first = true,
                // Asked again, it would not answer either.
                Err(error) if is_transient(&error) => return Err(error),
                Err(_) => {}
            }
        }
        let entry = self.entry(repo).await?;
        let found = match absent_in_first && entry.id == FIRST {
            true => None,
            false => self.find(repo, entry.archive_id(), entry.cluster, false).await?,
        };
        if found.is_none() {
            self.prove_absence(repo, entry.archive_id()).await?;
        }
        Ok(found)
    }

    /// A file that is not in the archive is absent only if the archive is there. Where a disk is not mounted, or the
    /// directory was moved, it looks empty, while a backup in the same repository needed its WAL.
    async fn prove_absence(&self, repo: &context::Repo, id: ArchiveId) -> Result<()> {
        let archive = WalArchive::new(repo.storage.clone(), self.stanza, id)?;
        if has_wal(&archive).await? {
            return Ok(());
        }
        for (_, manifest) in backup_list::list(&repo.storage, self.stanza).await? {
            let manifest = manifest?;
            if manifest.archive_id() == id && manifest.archive_checked {
                return Err(Error::Check {
                    what: format!(
                        "the archive '{}/{}' is empty, but backup {} needs WAL from it",
                        repo.storage.location(),
                        archive.directory(),
                        manifest.label
                    ),
                    code: ErrorCode::PathMissing,
                    hint: "is the disk of the archive mounted? an archive that is not there does \
                           not prove that WAL is missing"
                        .to_owned(),
                });
            }
        }
        Ok(())
    }

    /// The entry of the cluster in the stanza's history.
    async fn entry(&self, repo: &context::Repo) -> Result<StanzaEntry> {
        let history = StanzaHistory::read(&*repo.storage, self.stanza).await?;
        Ok(match self.cluster {
            Some(cluster) => history.entry_of(cluster)?.clone(),
            None => history.current().clone(),
        })
    }

    async fn find(
        &self,
        repo: &context::Repo,
        archive: ArchiveId,
        cluster: ClusterId,
        early: bool,
    ) -> Result<Option<Found>> {
        let archive = WalArchive::new(repo.storage.clone(), self.stanza, archive)?;
        let stored = archive.find(self.file).await?;
        Ok(stored.map(|stored| Found { archive, stored, cluster, early }))
    }

    /// Delivers what was found; `false` where it is not in the archive.
    async fn deliver_from(
        &self,
        repo: &context::Repo,
        found: Result<Option<Found>>,
    ) -> Result<bool> {
        let Some(found) = found? else { return Ok(false) };
        match found.deliver(self).await {
            Err(error) if found.early && !is_transient(&error) => {
                // It may be of another cluster, whose archive has the first number: the history decides.
                let entry = self.entry(repo).await?;
                match self.find(repo, entry.archive_id(), entry.cluster, false).await? {
                    Some(found) => found.deliver(self).await.map(|()| true),
                    None => self.prove_absence(repo, entry.archive_id()).await.map(|()| false),
                }
            }
            delivered => delivered.map(|()| true),
        }
    }
}

impl Found {
    async fn deliver(&self, wanted: &Wanted<'_>) -> Result<()> {
        let options =
            GetOptions { cluster: Some(context::wal_identity(self.cluster)), durable: false };
        Ok(deliver(&self.archive, &self.stored, &wanted.destination, options).await?)
    }
}

/// Whether there is any file of WAL. A directory proves nothing: on posix an empty one stays where its files were moved away.
async fn has_wal(archive: &WalArchive) -> Result<bool> {
    let listed = archive.list("").await?;
    if !listed.files.is_empty() {
        return Ok(true);
    }
    // The newest first, which has files in a sound archive.
    for directory in listed.directories.iter().rev() {
        if !archive.stored_in(directory.file_name()).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_transient(error: &Error) -> bool {
    use repo::Error::Storage;
    matches!(error, Error::Repo(Storage(error)) | Error::Wal(wal::Error::Repo(Storage(error)))
        if error.kind() == ErrorKind::Transient)
}
