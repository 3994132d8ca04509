//! `expire`: removes the backups that retention does not keep, the WAL that no backup needs, and what
//! interrupted backups left. What goes is planned from listings alone (`repo::retention`); an error of
//! any of them means that nothing is removed.

mod execute;
mod gather;
mod removal;
mod report;

use std::io::Write;

use jiff::{Timestamp, tz::TimeZone};

use self::{gather::gather, removal::Removal};
use super::{
    Error, Result,
    context::{self, Repo},
    signal::Signals,
};
use crate::{
    config::{Config, RepoConfig, RetentionConfig},
    repo::{
        lock::{self, Lock, LockKind},
        retention::{self, Calendar, ExpirePlan, FullType, Inventory, Scope, Settings},
    },
    types::{BackupLabel, ErrorCode, Failure, StanzaName},
    ui,
};

/// How often a plan is made anew because the repository changed meanwhile.
const PLANS_MAX: usize = 5;

/// What is to be done in one repository.
struct Task<'a> {
    repo: &'a Repo,
    stanza: &'a StanzaName,
    settings: Settings,
    scope: Scope,
}

/// Expires in every repository, or in the one that `--repo` names. One that fails does not keep the
/// others from being expired.
pub(super) async fn run(config: &Config, out: &mut dyn Write) -> Result<u8> {
    let stanza = context::stanza(config)?;
    lock::check_not_stopped(&context::lock_path(config), stanza)?;
    let mut signals = Signals::listen()?;
    let repos = context::repos(config)?;
    let mut failed = Vec::new();
    for repo in &repos {
        let work = async {
            let kind = LockKind::Backup { repo: repo.key };
            let _lock = Lock::acquire(&context::lock_path(config), stanza, kind, "expire")?;
            let settings = settings(config, repo);
            let task = Task { repo, stanza, settings, scope: scope(config) };
            match config.dry_run {
                true => show(&task, out).await,
                false => expire(&task).await,
            }
        };
        match signals.guard(work).await {
            Ok(()) => {}
            Err(error @ Error::Terminated(_)) => return Err(error),
            Err(error) => failed.push((repo.key, error)),
        }
    }
    finish(failed, repos.len(), config.set.as_ref())
}

/// Expires in the repository that a backup has just been published in, under the lock of the backup.
pub(super) async fn after_backup(config: &Config, repo: &Repo, label: &BackupLabel) -> Result<()> {
    if !config.backup.expire_auto {
        return Ok(());
    }
    let stanza = context::stanza(config)?;
    let settings = settings(config, repo);
    let task = Task { repo, stanza, settings, scope: Scope::Retention };
    expire(&task)
        .await
        .map_err(|error| Error::AfterBackup { label: label.clone(), source: Box::new(error) })
}

/// Plans, and removes.
async fn expire(task: &Task<'_>) -> Result<()> {
    let (inventory, plan, removal) = settle(task).await?;
    report::warn(task.repo.key, &plan);
    gather::note_lost(&*task.repo.storage, task.stanza, &inventory, &plan).await?;
    for line in report::kept(task.repo.key, &plan) {
        tracing::debug!(target: ui::DETAIL, "{line}");
    }
    for line in report::removed(task.repo.key, &removal) {
        tracing::info!("{line}");
    }
    execute::execute(&*task.repo.storage, task.stanza, &removal).await?;
    match task.scope {
        Scope::Retention => execute::sweep(task.repo, task.stanza).await,
        _ => Ok(()),
    }
}

/// Plans, and says what would be removed.
async fn show(task: &Task<'_>, out: &mut dyn Write) -> Result<()> {
    let (_, plan, removal) = settle(task).await?;
    report::warn(task.repo.key, &plan);
    let lines = report::removed(task.repo.key, &removal);
    for line in lines.into_iter().chain(report::kept(task.repo.key, &plan)) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// Makes the plan, and makes it again where a backup began or was marked while it was made, until it
/// fits what is there.
async fn settle(task: &Task<'_>) -> Result<(Inventory, ExpirePlan, Removal)> {
    for _ in 0..PLANS_MAX {
        let Some(inventory) = gather(task.repo, task.stanza, &task.scope).await? else {
            continue;
        };
        let plan = plan(task, &inventory)?;
        let removal = Removal::find(task.repo, task.stanza, &inventory, &plan).await?;
        if gather::is_unchanged(task.repo, task.stanza, &inventory, &plan).await? {
            return Ok((inventory, plan, removal));
        }
    }
    Err(Error::Check {
        what: format!(
            "repo{}: backups begin and end faster than they can be listed",
            task.repo.key
        ),
        code: ErrorCode::LockAcquire,
        hint: "nothing was removed; run expire again".to_owned(),
    })
}

fn plan(task: &Task<'_>, inventory: &Inventory) -> Result<ExpirePlan> {
    let now = Timestamp::now().as_second();
    let zone = TimeZone::system();
    Ok(retention::plan(inventory, &task.settings, &task.scope, now, &zone)?)
}

/// The end of it. A backup that was named is an error only where no repository has it.
fn finish(mut failed: Vec<(u16, Error)>, repos: usize, set: Option<&BackupLabel>) -> Result<u8> {
    let is_missing =
        |error: &Error| matches!(error, Error::Retention(retention::Error::Missing(_)));
    if set.is_some() && failed.iter().filter(|(_, error)| is_missing(error)).count() < repos {
        failed.retain(|(_, error)| !is_missing(error));
    }
    let count = failed.len();
    match failed.pop() {
        None => Ok(0),
        Some((_, error)) if count == 1 || is_missing(&error) => Err(error),
        Some(last) => {
            failed.push(last);
            for (key, error) in &failed {
                tracing::error!(code = u64::from(error.code().exit_code()), "repo{key}: {error}");
            }
            Err(Error::Check {
                what: format!("expire command encountered {count} error(s)"),
                code: ErrorCode::Command,
                hint: "the errors are in the log; expire again once their causes are gone"
                    .to_owned(),
            })
        }
    }
}

fn scope(config: &Config) -> Scope {
    match (&config.set, config.expire.oldest, config.expire.wal_before) {
        (Some(label), _, _) => Scope::Set(label.clone()),
        (None, true, _) => Scope::Oldest,
        (None, false, Some(segment)) => Scope::WalBefore(segment),
        (None, false, None) => Scope::Retention,
    }
}

/// The retention options of a repository.
pub(super) fn settings(config: &Config, repo: &Repo) -> Settings {
    match config.repos.get(&repo.key) {
        Some(RepoConfig { retention, .. }) => from_config(retention),
        None => Settings::default(),
    }
}

fn from_config(config: &RetentionConfig) -> Settings {
    let RetentionConfig { daily, weekly, monthly, yearly, .. } = *config;
    Settings {
        full: config.full,
        full_type: if config.full_is_days { FullType::Time } else { FullType::Count },
        diff: config.diff,
        archive: config.archive,
        archive_type: config.archive_type,
        calendar: Calendar { daily, weekly, monthly, yearly },
    }
}

#[cfg(test)]
mod tests;
