//! `expire`: removes the backups that retention does not keep, the WAL that no backup needs, and what
//! interrupted backups left.

mod report;
mod settings;
#[cfg(test)]
mod tests;

use std::io::Write;

pub(super) use self::settings::settings;
use super::{
    Error, Result,
    context::{self, Repo},
    failures::in_each,
    signal::Signals,
};
use crate::{
    config::Config,
    expire::{self, ExpireOptions},
    repo::{
        lock::{self, Lock, LockKind},
        retention::Scope,
    },
    types::BackupLabel,
};

/// Expires in every repository, or in the one that `--repo` names.
pub(super) async fn run(config: &Config, out: &mut dyn Write) -> Result<u8> {
    let stanza = context::stanza(config)?;
    lock::check_not_stopped(&context::lock_path(config), stanza)?;
    let mut signals = Signals::listen()?;
    let repos = context::repos(config)?;
    let mut failures = in_each("expire", &repos, async |repo| {
        let work = async {
            let kind = LockKind::Backup { repo: repo.key };
            let _lock = Lock::acquire(&context::lock_path(config), stanza, kind, "expire")?;
            let options = options(config, repo, settings::scope(config))?;
            if config.dry_run {
                show(repo, &options, out).await
            } else {
                expire(repo, &options).await
            }
        };
        signals.guard(work).await
    })
    .await?;
    // A backup that is named need not be in every repository.
    failures.absent_everywhere_or_not_at_all(is_missing_set);
    failures.finish()?;
    Ok(0)
}

fn is_missing_set(error: &Error) -> bool {
    matches!(error, Error::Expire(error) if error.is_missing_set())
}

/// Expires in the repository that a backup has just been published in, under the lock of the backup.
pub(super) async fn after_backup(config: &Config, repo: &Repo, label: &BackupLabel) -> Result<()> {
    if !config.backup.expire_auto {
        return Ok(());
    }
    let options = options(config, repo, Scope::Retention)?;
    expire(repo, &options)
        .await
        .map_err(|error| Error::AfterBackup { label: label.clone(), source: Box::new(error) })
}

fn options(config: &Config, repo: &Repo, scope: Scope) -> Result<ExpireOptions> {
    Ok(ExpireOptions {
        storage: repo.storage.clone(),
        stanza: context::stanza(config)?.clone(),
        settings: settings(config, repo),
        scope,
    })
}

/// Plans, and removes.
async fn expire(repo: &Repo, options: &ExpireOptions) -> Result<()> {
    let job = expire::prepare(options).await?;
    report::log(repo.key, &job);
    expire::execute(options, &job).await?;
    if options.scope == Scope::Retention {
        report::swept(repo.key, &expire::sweep(options).await?);
    }
    Ok(())
}

/// Plans, and says what would be removed.
async fn show(repo: &Repo, options: &ExpireOptions, out: &mut dyn Write) -> Result<()> {
    let job = expire::prepare(options).await?;
    report::warn(repo.key, &job.plan);
    let removed = report::removed(repo.key, &job.removal);
    for line in removed.into_iter().chain(report::kept(repo.key, &job.plan)) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}
