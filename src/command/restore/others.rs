//! The repositories that a recovery will ask for WAL beside the one that the backup comes from. `archive-get` asks all
//! that are configured, and one that does not answer stops a recovery: it may hold the newest WAL.

use super::{Repo, Result, context};
use crate::{
    config::{Config, RepoKind},
    repo::{self, layout, stanza::StanzaHistory},
    restore::Request,
    storage::ObjectPath,
};

/// What a repository says about the stanza at the time of the restore.
enum Answer {
    /// It has it.
    Fine,
    /// It answers, and holds nothing of the stanza.
    Gone,
    /// It cannot be asked, or what it says proves nothing.
    Unknown(repo::Error),
}

/// The repository that `restore_command` is bound to: the one that `--repo` names, or the backup's where every other is
/// proven to hold nothing. `None`: all are asked.
pub(super) async fn only_repo(
    config: &Config,
    chosen: &Repo,
    request: &Request,
) -> Result<Option<u16>> {
    if config.repo.is_some() || config.repos.len() == 1 || !request.target.has_settings() {
        return Ok(config.repo);
    }
    let (mut gone, mut unknown) = (Vec::new(), Vec::new());
    for repo in context::repos(config)?.into_iter().filter(|repo| repo.key != chosen.key) {
        match ask(config, &repo, request).await {
            Answer::Fine => {}
            Answer::Gone => gone.push(repo.key),
            Answer::Unknown(error) => unknown.push((repo.key, error)),
        }
    }
    let (all, key) = (config.repos.len(), chosen.key);
    if gone.len() + 1 == all {
        for other in &gone {
            tracing::warn!("repo{other} has no data of stanza '{}'", request.stanza);
        }
        tracing::warn!(
            "recovery will read WAL from repo{key} only (--repo={key} in restore_command)"
        );
        return Ok(Some(key));
    }
    for other in gone {
        let error = "it has no data of the stanza".to_owned();
        unknown_repo(other, key, &error);
    }
    for (other, error) in unknown {
        unknown_repo(other, key, &error.to_string());
    }
    Ok(None)
}

fn unknown_repo(other: u16, chosen: u16, error: &str) {
    tracing::warn!(
        "repo{other}: {error}\n\
         recovery asks repo{other} for WAL too and will stop at the first file that repo{chosen} \
         does not have, because repo{other} may have it: make repo{other} available first, or \
         restore with --repo={chosen} to recover from repo{chosen} alone"
    );
}

async fn ask(config: &Config, repo: &Repo, request: &Request) -> Answer {
    match StanzaHistory::read(&*repo.storage, &request.stanza).await {
        Ok(_) => Answer::Fine,
        Err(error) => match holds_other_things_only(config, repo, request).await {
            Ok(true) => Answer::Gone,
            Ok(false) => Answer::Unknown(error),
            Err(other) => Answer::Unknown(other),
        },
    }
}

/// Whether a repository answers and has nothing of the stanza. A directory that is empty or missing proves nothing: it may
/// be one on which its file system is not mounted.
async fn holds_other_things_only(
    config: &Config,
    repo: &Repo,
    request: &Request,
) -> std::result::Result<bool, repo::Error> {
    let storage = &*repo.storage;
    let stanza = &request.stanza;
    for directory in [
        layout::stanza_directory(stanza)?,
        layout::archive_directory(stanza)?,
        layout::backup_directory(stanza)?,
    ] {
        if !storage.list(&directory, false).await?.is_empty() {
            return Ok(false);
        }
    }
    let kind = config.repos.get(&repo.key).map(|repo| &repo.kind);
    match kind {
        Some(RepoKind::Posix | RepoKind::Sftp(_)) | None => {
            Ok(!storage.list(&ObjectPath::root(), false).await?.is_empty())
        }
        Some(_) => Ok(true),
    }
}
