//! `archive-push`: PostgreSQL's `archive_command`. Success means that every repository has the file
//! durably. They are written to at once, and one that fails keeps no other from having the file.

use std::path::{Path, PathBuf};

use futures_util::{StreamExt, stream::iter};

use super::{
    Error, Result,
    context::{self, Repo},
    failures::Failures,
};
use crate::{
    config::Config,
    repo::{archive::WalArchive, lock, stanza::StanzaHistory},
    types::{ArchiveFile, ErrorCode, StanzaName},
    wal::{PushOptions, Pushing},
};

/// To how many repositories a file is written at a time: each has it in memory once.
const AT_ONCE_MAX: usize = 8;

/// Stores the file that the command line names in every repository.
pub(super) async fn run(config: &Config) -> Result<u8> {
    let stanza = context::stanza(config)?;
    lock::check_not_stopped(&config.lock_path, stanza)?;
    let (path, file) = file_to_push(config)?;
    let repos = context::repos_at_once(config)?;
    if let [repo] = &repos[..] {
        push_to(config, repo, stanza, &path, file).await?;
        return Ok(0);
    }
    let push = async |repo| (repo, push_to(config, repo, stanza, &path, file).await);
    let pushed: Vec<_> = iter(&repos).map(push).buffer_unordered(AT_ONCE_MAX).collect().await;
    let mut failures = Failures::new("archive-push", repos.len());
    for (repo, result) in pushed {
        failures.take(repo, result)?;
    }
    failures.finish().map(|()| 0)
}

/// Stores the file in one repository.
async fn push_to(
    config: &Config,
    repo: &Repo,
    stanza: &StanzaName,
    path: &Path,
    file: ArchiveFile,
) -> Result<()> {
    let options =
        PushOptions { compression: config.backup.compression, workers: config.process_max };
    // The threads begin with the file while the store is asked what the stanza is.
    let (pushing, history) = tokio::join!(
        Pushing::begin(path, file, options),
        StanzaHistory::read(&*repo.storage, stanza)
    );
    let history = history?;
    let current = history.current();
    let archive = WalArchive::new(repo.storage.clone(), stanza, current.archive_id())?;
    let cluster = config.archive.header_check.then(|| context::wal_identity(current.cluster));
    pushing?.store(&archive, cluster).await?;
    Ok(())
}

/// The file's path and what its name says; `%p` is relative to the data directory.
fn file_to_push(config: &Config) -> Result<(PathBuf, ArchiveFile)> {
    let given = Path::new(context::argument(config, 0, "the path of a WAL file")?);
    context::no_more_arguments(config, 1)?;
    let name = given.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let file = name.parse()?;
    if given.is_absolute() || given.exists() {
        return Ok((given.to_owned(), file));
    }
    let root = config.pgs.values().find_map(|pg| pg.path.as_ref());
    let root = root.ok_or_else(|| Error::Parameter {
        what: format!("the path '{}' is relative, and pg1-path is not given", given.display()),
        code: ErrorCode::OptionRequired,
    })?;
    Ok((root.join(given), file))
}
