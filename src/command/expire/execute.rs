//! Removes what was planned. What makes a backup goes before its data, dependents before what they
//! depend on, WAL last: whatever moment this is cut short at, what is left is whole backups with their
//! WAL, and objects that nobody sees and that the next expire removes.

use std::time::Duration;

use super::removal::{ArchiveContent, ArchiveRemoval, Removal};
use crate::{
    command::{Result, context::Repo},
    repo::{
        self,
        layout::{self, BackupPaths},
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
    for directory in directories() {
        delete(storage, &directory.data).await?;
    }
    // Whoever wrote them is gone, so what it had under way is nobody's.
    for left_over in &removal.left_overs {
        let paths = BackupPaths::new(stanza, &left_over.label).map_err(repo::Error::from)?;
        storage.remove_stale(paths.directory(), Duration::ZERO).await?;
    }
    for archive in &removal.archives {
        remove_wal(storage, archive).await?;
    }
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
