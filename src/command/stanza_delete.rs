//! `stanza-delete`: removes all backups and WAL of a stanza from one repository. The manifests go
//! first and the data last, so what an interruption leaves is never taken for a backup, and the
//! command can be run again. Only objects of ours are removed; whatever else is there stays, also with --force.

use std::{collections::HashSet, io::Write, sync::Arc};

use super::{
    Error, Result,
    context::{self, Repo},
};
use crate::{
    config::Config,
    host::LockPath,
    repo::{
        backup_list, foreign,
        layout::{self, BackupPaths},
        lock::{self, Lock, LockKind},
        ownership::{self, ClassifiedObjects},
    },
    storage::{EntryKind, ObjectPath, Storage},
    types::{ErrorCode, StanzaName},
};

/// How many objects are deleted with one call.
const BATCH: usize = 1000;
/// What a server leaves in its data directory while it runs (`miscadmin.h`, LOCK_FILE_NAME).
const POSTMASTER_PID: &str = "postmaster.pid";

/// Everything to delete, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
struct DeletePlan {
    /// The manifests, youngest backup first, so that none is left without its parent.
    manifests: Vec<ObjectPath>,
    /// The history of the stanza.
    history: Vec<ObjectPath>,
    /// All the rest.
    data: Vec<ObjectPath>,
    /// What is there and is not ours: it stays.
    others: Vec<ObjectPath>,
}

/// Deletes the stanza, or shows what that would delete.
pub(super) async fn run(config: &Config, out: &mut dyn Write) -> Result<u8> {
    let stanza = context::stanza(config)?;
    let (repo, _) = context::repo(config)?;
    refuse_ambiguous(config)?;
    repo.unlock().await?;
    let kind = LockKind::Backup { repo: repo.key };
    let _lock = Lock::acquire(&context::lock_path(config), stanza, kind, "stanza-delete")?;
    let plan = DeletePlan::make(&repo.storage, stanza).await?;
    if plan.count() == 0 {
        refuse_others(&repo, stanza, &plan.others).await?;
        tracing::info!("stanza '{stanza}' does not exist on repo{}", repo.key);
        return Ok(0);
    }
    if config.dry_run {
        warn_others(&repo, &plan.others);
        plan.parts().into_iter().flatten().try_for_each(|path| writeln!(out, "{path}"))?;
        return Ok(0);
    }
    require_stopped(&context::lock_path(config), stanza)?;
    refuse_running(config, &repo, stanza)?;
    plan.execute(&*repo.storage).await?;
    tracing::info!("stanza '{stanza}' deleted from repo{}: {} objects", repo.key, plan.count());
    warn_others(&repo, &plan.others);
    lock::start(&context::lock_path(config), Some(stanza))?;
    Ok(0)
}

/// Where nothing is ours, what is there may be all that somebody has: it is named, and the stanza does not count as
/// deleted.
async fn refuse_others(repo: &Repo, stanza: &StanzaName, others: &[ObjectPath]) -> Result<()> {
    foreign::refuse(&*repo.storage, stanza).await?;
    match others.first() {
        None => Ok(()),
        Some(first) => Err(Error::Check {
            what: format!(
                "the directories of stanza '{stanza}' on repo{} contain {} files that pgstrata did \
                 not write, such as '{}/{first}'",
                repo.key,
                others.len(),
                repo.storage.location()
            ),
            code: ErrorCode::PathNotEmpty,
            hint:
                "nothing was removed, not even with --force: check the repository path, and remove \
                 files that are not needed by hand"
                    .to_owned(),
        }),
    }
}

fn warn_others(repo: &Repo, others: &[ObjectPath]) {
    if let Some(first) = others.first() {
        tracing::warn!(
            "repo{}: {} files that pgstrata did not write are kept, such as '{}/{first}'",
            repo.key,
            others.len(),
            repo.storage.location()
        );
    }
}

/// With several repositories, the one to delete from must be named.
fn refuse_ambiguous(config: &Config) -> Result<()> {
    match config.repo.is_none() && config.repos.len() > 1 {
        true => Err(Error::OptionRequired { command: "stanza-delete", option: "repo".to_owned() }),
        false => Ok(()),
    }
}

/// The stanza itself must have been stopped; that all were is not enough to delete one of them.
fn require_stopped(lock_path: &LockPath, stanza: &StanzaName) -> Result<()> {
    match lock::is_stopped(lock_path, Some(stanza))? {
        true => Ok(()),
        false => Err(Error::Check {
            what: format!("stop file does not exist for stanza '{stanza}'"),
            code: ErrorCode::FileMissing,
            hint: "has the stop command been run on this server for this stanza?".to_owned(),
        }),
    }
}

fn refuse_running(config: &Config, repo: &Repo, stanza: &StanzaName) -> Result<()> {
    let paths = config.pgs.values().filter_map(|pg| pg.path.as_deref());
    match paths.map(|path| path.join(POSTMASTER_PID)).find(|file| file.exists()) {
        Some(file) if !config.force => Err(Error::Check {
            what: format!("'{}' exists - looks like PostgreSQL is running", file.display()),
            code: ErrorCode::PgRunning,
            hint: format!(
                "to delete stanza '{stanza}' on repo{}, shut down PostgreSQL and try again, or use \
                 --force",
                repo.key
            ),
        }),
        _ => Ok(()),
    }
}

impl DeletePlan {
    async fn make(storage: &Arc<dyn Storage>, stanza: &StanzaName) -> Result<Self> {
        if let Some(error) = foreign::of_stanza(&**storage, stanza).await? {
            return Err(error.into());
        }
        let history = layout::stanza_directory(stanza)?;
        let mut found = Vec::new();
        for directory in
            [&history, &layout::backup_directory(stanza)?, &layout::archive_directory(stanza)?]
        {
            found.extend(objects(&**storage, directory).await?);
        }
        let ClassifiedObjects { ours, others } =
            ownership::classify(storage, stanza, found).await?;
        let mut rest: HashSet<ObjectPath> = ours.into_iter().collect();
        let mut plan = Self { others, ..Self::default() };
        for label in backup_list::directories(&**storage, stanza).await?.iter().rev() {
            // A directory without manifest is an interrupted backup: there is none to delete.
            plan.manifests.extend(rest.take(&BackupPaths::new(stanza, label)?.manifest()?));
        }
        (plan.history, plan.data) = rest.into_iter().partition(|path| path.parent() == history);
        plan.history.sort();
        plan.data.sort();
        Ok(plan)
    }

    fn parts(&self) -> [&[ObjectPath]; 3] {
        [&self.manifests, &self.history, &self.data]
    }

    /// How many objects go.
    fn count(&self) -> usize {
        self.parts().iter().map(|part| part.len()).sum()
    }

    async fn execute(&self, storage: &dyn Storage) -> Result<()> {
        for part in self.parts() {
            for batch in part.chunks(BATCH) {
                storage.delete(batch).await?;
            }
        }
        Ok(())
    }
}

async fn objects(storage: &dyn Storage, directory: &ObjectPath) -> Result<Vec<ObjectPath>> {
    let entries = storage.list(directory, true).await?;
    let objects = entries.into_iter().filter(|e| matches!(e.kind, EntryKind::Object { .. }));
    Ok(objects.map(|entry| entry.path).collect())
}

#[cfg(test)]
mod tests;
