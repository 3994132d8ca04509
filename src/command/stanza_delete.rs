//! `stanza-delete`: removes all backups and WAL of a stanza from one repository. The manifests go
//! first and the data last, so what an interruption leaves is never taken for a backup, and the
//! command can be run again.

use std::{collections::HashSet, io::Write, path::Path};

use super::{
    Error, Result,
    context::{self, Repo},
};
use crate::{
    config::Config,
    repo::{
        backup_list,
        layout::{self, BackupPaths},
        lock::{self, Lock, LockKind},
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
}

/// Deletes the stanza, or shows what that would delete.
pub(super) async fn run(config: &Config, out: &mut dyn Write) -> Result<u8> {
    let stanza = context::stanza(config)?;
    let (repo, _) = context::repo(config)?;
    refuse_ambiguous(config)?;
    repo.unlock().await?;
    let kind = LockKind::Backup { repo: repo.key };
    let _lock = Lock::acquire(&config.lock_path, stanza, kind, "stanza-delete")?;
    let plan = DeletePlan::make(&*repo.storage, stanza).await?;
    if plan == DeletePlan::default() {
        tracing::info!("stanza '{stanza}' does not exist on repo{}", repo.key);
        return Ok(0);
    }
    if config.dry_run {
        plan.parts().into_iter().flatten().try_for_each(|path| writeln!(out, "{path}"))?;
        return Ok(0);
    }
    require_stopped(&config.lock_path, stanza)?;
    refuse_running(config, &repo, stanza)?;
    plan.execute(&*repo.storage).await?;
    let count: usize = plan.parts().iter().map(|part| part.len()).sum();
    tracing::info!("stanza '{stanza}' deleted from repo{}: {count} objects", repo.key);
    lock::start(&config.lock_path, Some(stanza))?;
    Ok(0)
}

/// With several repositories, the one to delete from must be named.
fn refuse_ambiguous(config: &Config) -> Result<()> {
    match config.repo.is_none() && config.repos.len() > 1 {
        true => Err(Error::OptionRequired { command: "stanza-delete", option: "repo".to_owned() }),
        false => Ok(()),
    }
}

/// The stanza itself must have been stopped; that all were is not enough to delete one of them.
fn require_stopped(lock_path: &Path, stanza: &StanzaName) -> Result<()> {
    match lock::is_stopped(lock_path, Some(stanza)) {
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
    async fn make(storage: &dyn Storage, stanza: &StanzaName) -> Result<Self> {
        let mut plan = Self::default();
        for label in backup_list::directories(storage, stanza).await?.iter().rev() {
            plan.manifests.push(BackupPaths::new(stanza, label)?.manifest()?);
        }
        plan.history = objects(storage, &layout::stanza_directory(stanza)?).await?;
        for directory in [layout::backup_directory(stanza)?, layout::archive_directory(stanza)?] {
            plan.data.extend(objects(storage, &directory).await?);
        }
        // A directory without manifest is an interrupted backup: there is none to delete.
        let mut rest: HashSet<ObjectPath> = plan.data.drain(..).collect();
        plan.manifests.retain(|path| rest.remove(path));
        plan.data = rest.into_iter().collect();
        plan.data.sort();
        Ok(plan)
    }

    fn parts(&self) -> [&[ObjectPath]; 3] {
        [&self.manifests, &self.history, &self.data]
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
