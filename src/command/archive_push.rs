//! `archive-push`: PostgreSQL's `archive_command`. Success means that every repository has the file
//! durably. They are written to at once, and one that fails keeps no other from having the file.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::{StreamExt, stream::iter};

use super::{
    Exit, Result,
    caller::Caller,
    context::{self, Repo},
    failures::Failures,
};
use crate::{
    config::Config,
    repo::{
        archive::WalArchive,
        lock,
        stanza::{ClusterId, StanzaHistory},
    },
    types::{ArchiveFile, ErrorCode, StanzaName},
    wal::{PushOptions, Pushing},
};

/// To how many repositories a file is written at a time: each has it in memory once.
const AT_ONCE_MAX: usize = 8;
/// How long a store in which nothing moves is waited for while the server is shutting down.
const STALL_WHEN_STOPPING: Duration = Duration::from_secs(2);

/// Stores the file that the command line names in every repository.
pub(super) async fn run(config: &Config, exit: &Exit) -> Result<u8> {
    let stanza = context::stanza(config)?;
    lock::check_not_stopped(&context::lock_path(config), stanza)?;
    let (path, file) = file_to_push(config)?;
    let caller = Caller::of(&path);
    let stall = stall(config, &caller);
    let watch = exit.watch(Some(stall));
    let repos = context::repos_at_once(&context::giving_up_early(config, stall), watch)?;
    let job = Job { config, stanza, path, file, cluster: watch.run(0, || caller.cluster())? };
    if let [repo] = &repos[..] {
        job.push_to(repo).await?;
        return Ok(0);
    }
    let push = async |repo| (repo, job.push_to(repo).await);
    let pushed: Vec<_> = iter(&repos).map(push).buffer_unordered(AT_ONCE_MAX).collect().await;
    let mut failures = Failures::new("archive-push", repos.len());
    for (repo, result) in pushed {
        failures.take(repo.key, result)?;
    }
    failures.finish().map(|()| 0)
}

/// PostgreSQL repeats the command. A server that stops does so up to six times, and waits for each.
fn stall(config: &Config, caller: &Caller) -> Duration {
    match caller.is_stopping() {
        true => config.archive.stall_timeout.min(STALL_WHEN_STOPPING),
        false => config.archive.stall_timeout,
    }
}

/// The file to store.
struct Job<'a> {
    config: &'a Config,
    stanza: &'a StanzaName,
    path: PathBuf,
    file: ArchiveFile,
    /// The cluster of the server that calls, where a server does.
    cluster: Option<ClusterId>,
}

impl Job<'_> {
    /// Stores the file in one repository.
    async fn push_to(&self, repo: &Repo) -> Result<()> {
        let Self { config, stanza, path, file, .. } = self;
        let options =
            PushOptions { compression: config.backup.compression, workers: config.process_max };
        // The threads begin with the file while the store is asked what the stanza is.
        let (pushing, history) = tokio::join!(
            Pushing::begin(path, *file, options),
            StanzaHistory::read(&*repo.storage, stanza)
        );
        let history = history?;
        let current = history.current();
        let check = config.archive.header_check;
        // Files without a header do not say which cluster they are of; the server that calls does.
        if let (Some(cluster), true) = (self.cluster, check && !file.has_header()) {
            history.expect(cluster, ErrorCode::ArchiveMismatch)?;
        }
        let archive = WalArchive::new(repo.storage.clone(), stanza, current.archive_id())?;
        let cluster = check.then(|| context::wal_identity(current.cluster));
        pushing?.store(&archive, cluster).await?;
        Ok(())
    }
}

/// The file's path and what its name says. A relative path is one of the working directory, which PostgreSQL makes
/// the data directory.
fn file_to_push(config: &Config) -> Result<(PathBuf, ArchiveFile)> {
    let given = Path::new(context::argument(config, 0, "the path of a WAL file")?);
    context::no_more_arguments(config, 1)?;
    let name = given.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    Ok((given.to_owned(), name.parse()?))
}
