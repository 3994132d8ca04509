//! Removes what was planned. What makes a backup goes before its data, dependents before what they
//! depend on, WAL last: whatever moment this is interrupted at, what is left is whole backups with their
//! WAL, and objects of no backup, which the next expire removes.

use std::time::Duration;

use super::{
    ExpireJob, ExpireOptions, Result, inventory,
    removal::{ArchiveContent, ArchiveRemoval, BackupRemoval, Removal},
};
use crate::{
    repo::{
        layout::{self, BackupPaths, FILE_LIST},
        retention::GRACE_SECONDS,
    },
    storage::{ObjectPath, Storage},
    types::StanzaName,
};

/// Objects that are deleted with one call.
const BATCH: usize = 1000;

/// Writes a note for each backup whose manifest was found missing, then removes the objects of the job.
pub async fn execute(options: &ExpireOptions, job: &ExpireJob) -> Result<()> {
    inventory::note_lost(options, &job.inventory, &job.plan).await?;
    remove(&*options.storage, &options.stanza, &job.removal).await
}

async fn remove(storage: &dyn Storage, stanza: &StanzaName, removal: &Removal) -> Result<()> {
    let directories = removal.backups.iter().chain(&removal.left_overs);
    // Manifests and notices of all go before data of any: a chain that is interrupted here has no manifest whose data is gone.
    for directory in directories {
        storage.delete(&directory.head).await?;
    }
    for backup in &removal.backups {
        remove_data(storage, backup).await?;
    }
    for left_over in &removal.left_overs {
        remove_left_over(storage, stanza, left_over).await?;
    }
    // WAL goes when no manifest is left that needs it.
    for archive in &removal.archives {
        remove_wal(storage, archive).await?;
    }
    Ok(())
}

/// Removes the data of a backup, its file list first: a file list without a manifest looks like a backup whose manifest was
/// lost, which is kept for a week.
async fn remove_data(storage: &dyn Storage, removal: &BackupRemoval) -> Result<()> {
    let is_list = |path: &&ObjectPath| path.file_name() == FILE_LIST;
    let (lists, rest): (Vec<_>, Vec<_>) = removal.data.iter().partition(is_list);
    for part in [lists, rest] {
        delete(storage, &part.into_iter().cloned().collect::<Vec<_>>()).await?;
    }
    Ok(())
}

/// Removes the data of an interrupted backup whose notice was removed just now, unless the backup was completed. A copy that
/// completes it looks for the notice after its manifest is written, and this looks for the manifest after the notice is
/// gone: so at least one of the two sees the other.
async fn remove_left_over(
    storage: &dyn Storage,
    stanza: &StanzaName,
    left_over: &BackupRemoval,
) -> Result<()> {
    let label = &left_over.label;
    let paths = BackupPaths::new(stanza, label)?;
    match storage.stat(&paths.manifest()?).await {
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.into()),
        Ok(_) => {
            tracing::warn!("backup {label} was completed while it was to be removed: it stays");
            return Ok(());
        }
    }
    remove_data(storage, left_over).await?;
    // Their writer is gone, so its unfinished uploads need no grace.
    storage.remove_stale(paths.directory(), Duration::ZERO).await?;
    Ok(())
}

/// Unfinished files that were removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swept {
    /// The directory that they were in.
    pub directory: ObjectPath,
    /// How many.
    pub count: u64,
}

/// Removes what the store keeps out of sight of writers that died.
pub async fn sweep(options: &ExpireOptions) -> Result<Vec<Swept>> {
    let (stanza, mut swept) = (&options.stanza, Vec::new());
    let grace = Duration::from_secs(GRACE_SECONDS.unsigned_abs());
    for directory in [layout::backup_directory(stanza)?, layout::archive_directory(stanza)?] {
        let count = options.storage.remove_stale(&directory, grace).await?;
        if count > 0 {
            swept.push(Swept { directory, count });
        }
    }
    Ok(swept)
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
