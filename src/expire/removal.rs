//! Everything that a plan removes, object by object, found before any of it is removed.

use std::sync::Arc;

use super::{Error, ExpireOptions, Result};
use crate::{
    repo::{
        REQUESTS_AT_ONCE,
        archive::{StoredWal, WalArchive},
        layout::{BackupPaths, MANIFEST, STARTED},
        ownership::{self, ClassifiedObjects},
        retention::{ExpirePlan, Inventory, wal::ArchiveRule},
    },
    storage::{EntryKind, ObjectPath, Storage},
    types::{ArchiveId, BackupLabel, StanzaName, WalSegmentSize},
    work::try_map,
};

/// The objects to remove, in their order.
#[derive(Debug, Default)]
pub struct Removal {
    /// Backups, dependents before what they depend on.
    pub backups: Vec<BackupRemoval>,
    /// Interrupted backups.
    pub left_overs: Vec<BackupRemoval>,
    /// WAL.
    pub archives: Vec<ArchiveRemoval>,
}

/// The objects of one backup directory.
#[derive(Debug)]
pub struct BackupRemoval {
    /// The backup.
    pub label: BackupLabel,
    /// The manifest or the notice, which make it a backup or a backup in progress: removed first.
    pub head: Vec<ObjectPath>,
    /// All the rest.
    pub data: Vec<ObjectPath>,
    /// Their size as stored, in bytes.
    pub size: u64,
}

/// The objects to remove of one archive.
#[derive(Debug)]
pub struct ArchiveRemoval {
    /// The archive.
    pub id: ArchiveId,
    /// The size of its segments, where a backup tells.
    pub segment_size: Option<WalSegmentSize>,
    /// The objects.
    pub content: ArchiveContent,
}

/// Some of an archive, or all.
#[derive(Debug)]
pub enum ArchiveContent {
    /// These files.
    Files(Vec<StoredWal>),
    /// Everything, because the archive is of an older cluster without backups.
    Everything(Vec<ObjectPath>),
}

impl Removal {
    /// Lists what the plan removes.
    pub(super) async fn find(
        options: &ExpireOptions,
        inventory: &Inventory,
        plan: &ExpirePlan,
    ) -> Result<Self> {
        let ExpireOptions { storage, stanza, .. } = options;
        let list = |label: &BackupLabel| backup(storage.clone(), stanza.clone(), label.clone());
        let mut removal = Self {
            backups: try_map(&plan.backups, REQUESTS_AT_ONCE, list).await?,
            left_overs: try_map(&plan.left_overs, REQUESTS_AT_ONCE, list).await?,
            archives: Vec::new(),
        };
        for (id, rule) in &plan.archives {
            let archive = WalArchive::new(storage.clone(), stanza, *id)?;
            let Some(content) = content(&archive, rule).await? else { continue };
            let backup = inventory.backups.iter().find(|backup| backup.archive_id == *id);
            let segment_size = backup.map(|backup| backup.segment_size);
            removal.archives.push(ArchiveRemoval { id: *id, segment_size, content });
        }
        Ok(removal)
    }
}

async fn backup(
    storage: Arc<dyn Storage>,
    stanza: StanzaName,
    label: BackupLabel,
) -> Result<BackupRemoval> {
    let paths = BackupPaths::new(&stanza, &label)?;
    let (mut found, mut total) = (Vec::new(), 0);
    for entry in storage.list(paths.directory(), true).await? {
        let EntryKind::Object { size } = entry.kind else { continue };
        total += size;
        found.push(entry.path);
    }
    let ClassifiedObjects { ours, others } = ownership::classify(&storage, &stanza, found).await?;
    if let Some(first) = others.first() {
        let (count, location) = (others.len(), storage.location());
        tracing::warn!(
            "{count} files are not of this program and stay, such as '{location}/{first}'"
        );
    }
    let is_head = |path: &ObjectPath| {
        path.parent() == *paths.directory() && matches!(path.file_name(), MANIFEST | STARTED)
    };
    let (head, data) = ours.into_iter().partition(is_head);
    Ok(BackupRemoval { label, head, data, size: total })
}

/// The objects to remove of an archive. Directories that stay whole are not listed.
async fn content(archive: &WalArchive, rule: &ArchiveRule) -> Result<Option<ArchiveContent>> {
    let needed = match rule {
        ArchiveRule::KeepAll => return Ok(None),
        ArchiveRule::RemoveAll => {
            return Ok(Some(ArchiveContent::Everything(archive.all_objects().await?)));
        }
        ArchiveRule::Keep(needed) => needed,
    };
    let mut directories = archive.directory_names().await?;
    directories.retain(|directory| !needed.keeps_directory(directory));
    let list = |directory: String| {
        let (archive, needed) = (archive.clone(), needed.clone());
        async move {
            let stored = archive.stored_in(&directory).await?;
            let removable = needed.removable(&stored);
            Ok::<Vec<StoredWal>, Error>(removable.into_iter().cloned().collect())
        }
    };
    let files: Vec<StoredWal> = try_map(directories, REQUESTS_AT_ONCE, list).await?.concat();
    Ok((!files.is_empty()).then_some(ArchiveContent::Files(files)))
}
