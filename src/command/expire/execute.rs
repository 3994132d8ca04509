//! Removes what was planned. What makes a backup goes before its data, dependents before what they
//! depend on, WAL last: whatever moment this is cut short at, what is left is whole backups with their
//! WAL, and objects that nobody sees and that the next expire removes.

use std::time::Duration;

use super::removal::{ArchiveContent, ArchiveRemoval, BackupRemoval, Removal};
use crate::{
    command::{Result, context::Repo},
    repo::{
        self,
        layout::{self, BackupPaths, FILE_LIST},
        retention::GRACE_SECONDS,
    },
    storage::{ObjectPath, Storage},
    types::StanzaName,
};

/// How many objects are deleted with one call.
const BATCH: usize = 1000;

pub(super) async fn execute(
    storage: &dyn Storage,
    stanza: &StanzaName,
    removal: &Removal,
) -> Result<()> {
    let directories = || removal.backups.iter().chain(&removal.left_overs);
    for directory in directories() {
        storage.delete(&directory.head).await?;
    }
    for backup in &removal.backups {
        remove_data(storage, backup).await?;
    }
    for left_over in &removal.left_overs {
        remove_left_over(storage, stanza, left_over).await?;
    }
    for archive in &removal.archives {
        remove_wal(storage, archive).await?;
    }
    Ok(())
}

/// The file list goes first: with it, the rest would look like a backup of which the manifest was lost.
async fn remove_data(storage: &dyn Storage, removal: &BackupRemoval) -> Result<()> {
    let is_list = |path: &&ObjectPath| path.file_name() == FILE_LIST;
    let (lists, rest): (Vec<_>, Vec<_>) = removal.data.iter().partition(is_list);
    for part in [lists, rest] {
        delete(storage, &part.into_iter().cloned().collect::<Vec<_>>()).await?;
    }
    Ok(())
}

/// Its notice is gone. Who goes on with it looks for the notice after the manifest is there; so either sees the other.
async fn remove_left_over(
    storage: &dyn Storage,
    stanza: &StanzaName,
    left_over: &BackupRemoval,
) -> Result<()> {
    let label = &left_over.label;
    let paths = BackupPaths::new(stanza, label).map_err(repo::Error::from)?;
    match storage.stat(&paths.manifest().map_err(repo::Error::from)?).await {
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.into()),
        Ok(_) => {
            tracing::warn!("backup {label} was completed while it was to be removed: it stays");
            return Ok(());
        }
    }
    remove_data(storage, left_over).await?;
    // Whoever wrote them is gone, so what it had under way is nobody's.
    storage.remove_stale(paths.directory(), Duration::ZERO).await?;
    Ok(())
}

/// Removes what the store keeps out of sight of writers that died.
pub(super) async fn sweep(repo: &Repo, stanza: &StanzaName) -> Result<()> {
    let grace = Duration::from_secs(GRACE_SECONDS.unsigned_abs());
    for directory in [layout::backup_directory(stanza)?, layout::archive_directory(stanza)?] {
        let removed = repo.storage.remove_stale(&directory, grace).await?;
        if removed > 0 {
            tracing::info!("repo{}: remove {removed} unfinished files in {directory}", repo.key);
        }
    }
    Ok(())
}

async fn remove_wal(storage: &dyn Storage, archive: &ArchiveRemoval) -> Result<()> {
    match &archive.content {
        ArchiveContent::Everything(paths) => delete(storage, paths).await,
        ArchiveContent::Files(files) => {
            let paths: Vec<ObjectPath> = files.iter().map(|file| file.path.clone()).collect();
            delete(storage, &paths).await
        }
    }
}

async fn delete(storage: &dyn Storage, paths: &[ObjectPath]) -> Result<()> {
    for batch in paths.chunks(BATCH) {
        storage.delete(batch).await?;
    }
    Ok(())
}
