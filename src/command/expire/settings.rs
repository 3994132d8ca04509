//! Scope and settings of an expire, from the command line and the options of a repository.

use crate::{
    command::context::Repo,
    config::Config,
    repo::retention::{Scope, Settings},
};

/// The backup or WAL that `--set`, `--oldest` or `--archive-expire-before` names, else what retention says.
pub(super) fn scope(config: &Config) -> Scope {
    match (&config.set, config.expire.oldest, config.expire.wal_before) {
        (Some(label), _, _) => Scope::Set(label.clone()),
        (None, true, _) => Scope::Oldest,
        (None, false, Some(segment)) => Scope::WalBefore(segment),
        (None, false, None) => Scope::Retention,
    }
}

/// The retention options of a repository.
pub(in crate::command) fn settings(config: &Config, repo: &Repo) -> Settings {
    match config.repos.get(&repo.key) {
        Some(repo) => repo.retention,
        None => Settings::default(),
    }
}
