//! `repo-sync`: copies backups and WAL from one repository to another, what is missing there. It works under the
//! backup locks of both, so that on this host nothing is expired meanwhile.

mod report;

use std::{collections::BTreeSet, io::Write, os::unix::fs::MetadataExt};

use jiff::{Timestamp, tz::TimeZone};

use super::{
    Error, Result,
    context::{self, Repo},
    error::common_code,
    expire,
    failures::Failures,
    signal::Signals,
};
use crate::{
    config::{Config, RepoConfig, RepoKind},
    repo::{
        layout::STANZA_ROOT,
        lock::{self, Lock, LockKind},
        publication::Shield,
    },
    storage::{EntryKind, ObjectPath},
    sync::{self, Options, Outcome, Route, SyncPlan},
    types::{ErrorCode, Failure, StanzaName, counted},
    ui::Ui,
};

/// What came of one stanza.
enum Synced {
    /// What would be copied.
    Planned(SyncPlan),
    /// What was copied.
    Done(Outcome),
}

/// Copies one stanza, or all that the source has. One that fails does not keep the others from being copied.
pub(super) async fn run(config: &Config, ui: &Ui, out: &mut dyn Write) -> Result<u8> {
    let mut signals = Signals::listen()?;
    let (from, to) = repos(config)?;
    refuse_one_directory(config, &from, &to)?;
    let stanzas = signals.guard(stanzas(config, &from)).await?;
    let mut synced = Vec::with_capacity(stanzas.len());
    for stanza in stanzas {
        let shield = Shield::default();
        let work = sync_one(config, ui, &stanza, &from, &to, &shield);
        let result = signals.guard_shielded(&shield, work).await;
        match result {
            Err(error @ Error::Terminated(_)) => return Err(error),
            result => synced.push((stanza, result)),
        }
    }
    out.write_all(report::report(config, &synced)?.as_bytes())?;
    conclude(synced)
}

fn repos(config: &Config) -> Result<(Repo, Repo)> {
    let missing = || Error::OptionRequired { command: "repo-sync", option: "from".to_owned() };
    let sync = config.sync.ok_or_else(missing)?;
    let open = |key| context::repo_numbered(config, key);
    Ok((open(sync.from)?, open(sync.to)?))
}

/// Two paths may lead to one directory, which would be seen as two copies.
fn refuse_one_directory(config: &Config, from: &Repo, to: &Repo) -> Result<()> {
    let directory = |repo: &Repo| match config.repos.get(&repo.key) {
        Some(RepoConfig { kind: RepoKind::Posix, path, .. }) => std::fs::metadata(path).ok(),
        _ => None,
    };
    let (Some(one), Some(other)) = (directory(from), directory(to)) else { return Ok(()) };
    match (one.dev(), one.ino()) == (other.dev(), other.ino()) {
        false => Ok(()),
        true => Err(Error::Check {
            what: format!(
                "repo{}-path and repo{}-path are one directory: '{}'",
                from.key,
                to.key,
                to.storage.location()
            ),
            code: ErrorCode::OptionInvalidValue,
            hint: "a copy needs a path of its own".to_owned(),
        }),
    }
}

/// The stanza that was named, or all of the source.
async fn stanzas(config: &Config, from: &Repo) -> Result<BTreeSet<StanzaName>> {
    if let Some(stanza) = &config.stanza {
        return Ok(BTreeSet::from([stanza.clone()]));
    }
    let entries = from.storage.list(&ObjectPath::new(STANZA_ROOT)?, false).await?;
    let directories = entries.iter().filter(|entry| entry.kind == EntryKind::Directory);
    let stanzas: BTreeSet<StanzaName> =
        directories.filter_map(|entry| entry.path.file_name().parse().ok()).collect();
    match stanzas.is_empty() {
        false => Ok(stanzas),
        true => Err(Error::Check {
            what: format!("repo{} '{}' has no stanza", from.key, from.storage.location()),
            code: ErrorCode::FileMissing,
            hint: "nothing was copied: check the repository path, and that it is mounted"
                .to_owned(),
        }),
    }
}

/// Lock, plan, copy.
async fn sync_one(
    config: &Config,
    ui: &Ui,
    stanza: &StanzaName,
    from: &Repo,
    to: &Repo,
    shield: &Shield,
) -> Result<Synced> {
    lock::check_not_stopped(&context::lock_path(config), stanza)?;
    let lock = |repo: &Repo| {
        let kind = LockKind::Backup { repo: repo.key };
        Lock::acquire(&context::lock_path(config), stanza, kind, "repo-sync")
    };
    let _locks = (lock(from)?, lock(to)?);
    from.unlock().await?;
    to.unlock().await?;
    let route =
        Route { from: from.storage.clone(), to: to.storage.clone(), stanza: stanza.clone() };
    let options = Options {
        set: config.set.clone(),
        retention: expire::settings(config, to),
        at_once: config.process_max.max(1),
        now: Timestamp::now().as_second(),
        zone: TimeZone::system(),
        shield: shield.clone(),
    };
    let plan = sync::prepare(&route, &options).await?;
    for skipped in &plan.skipped {
        tracing::info!("backup {} is not copied: {}", skipped.label, skipped.reason);
    }
    if config.dry_run {
        return Ok(Synced::Planned(plan));
    }
    to.make_key("made by repo-sync").await?;
    let progress = ui.progress("repo-sync");
    Ok(Synced::Done(sync::execute(&route, plan, &options, &*progress).await?))
}

/// Success if everything was copied that was to be copied.
fn conclude(synced: Vec<(StanzaName, Result<Synced>)>) -> Result<u8> {
    let mut failures = Failures::new("repo-sync", synced.len());
    let mut codes = Vec::new();
    for (stanza, result) in synced {
        match failures.take(stanza, result)? {
            Some(Synced::Planned(plan)) => {
                codes.extend(plan.unreadable.iter().map(|(_, error)| error.code()));
            }
            Some(Synced::Done(outcome)) => {
                codes.extend(outcome.failed.iter().map(|failed| failed.error.code()));
                let incomplete =
                    outcome.skipped.iter().filter(|skipped| skipped.reason.is_failure());
                codes.extend(incomplete.map(|_| ErrorCode::FileMissing));
            }
            None => {}
        }
    }
    if codes.is_empty() {
        return failures.finish().map(|()| 0);
    }
    failures.log();
    codes.extend(failures.codes());
    Err(Error::Check {
        what: format!(
            "repo-sync could not copy everything: {}",
            counted(codes.len() as u64, "error")
        ),
        code: common_code(codes.into_iter()).unwrap_or(ErrorCode::Command),
        hint:
            "the report and the log name each object; everything copied is complete, and the next \
             run copies the rest"
                .to_owned(),
    })
}
