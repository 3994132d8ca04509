//! Everything that a plan removes, object by object, found before any of it is removed.

use crate::{
    command::{Result, context::Repo},
    repo::{
        archive::{StoredWal, WalArchive},
        layout::{BackupPaths, MANIFEST, STARTED},
        retention::{ExpirePlan, Inventory, wal::ArchiveRule},
    },
    storage::{EntryKind, ObjectPath, Storage},
    types::{ArchiveId, BackupLabel, StanzaName, WalSegmentSize},
};

/// What goes, in the order in which it does.
#[derive(Debug, Default)]
pub(super) struct Removal {
    /// Backups, dependents before what they depend on.
    pub(super) backups: Vec<BackupRemoval>,
    /// What interrupted backups left.
    pub(super) left_overs: Vec<BackupRemoval>,
    /// WAL.
    pub(super) archives: Vec<ArchiveRemoval>,
}

/// The objects of one backup directory.
#[derive(Debug)]
pub(super) struct BackupRemoval {
    pub(super) label: BackupLabel,
    /// What makes it a backup, or a backup in progress: it goes first.
    pub(super) head: Vec<ObjectPath>,
    /// All the rest.
    pub(super) data: Vec<ObjectPath>,
    /// Their size as stored, in bytes.
    pub(super) size: u64,
}

/// What goes of one archive.
#[derive(Debug)]
pub(super) struct ArchiveRemoval {
    pub(super) id: ArchiveId,
    /// The size of its segments, where a backup tells.
    pub(super) segment_size: Option<WalSegmentSize>,
    pub(super) content: ArchiveContent,
}

/// Some of an archive, or all.
#[derive(Debug)]
pub(super) enum ArchiveContent {
    /// These files.
    Files(Vec<StoredWal>),
    /// Everything, because the archive is of an older cluster without backups.
    Everything(Vec<ObjectPath>),
}

impl Removal {
    /// Lists what the plan removes.
    pub(super) async fn find(
        repo: &Repo,
        stanza: &StanzaName,
        inventory: &Inventory,
        plan: &ExpirePlan,
    ) -> Result<Self> {
        let mut removal = Self::default();
        for label in &plan.backups {
            removal.backups.push(backup(&*repo.storage, stanza, label).await?);
        }
        for label in &plan.left_overs {
            removal.left_overs.push(backup(&*repo.storage, stanza, label).await?);
        }
        for (id, rule) in &plan.archives {
            let archive = WalArchive::new(repo.storage.clone(), stanza, *id)?;
            let Some(content) = content(&archive, rule).await? else { continue };
            let backup = inventory.backups.iter().find(|backup| backup.archive_id == *id);
            let segment_size = backup.map(|backup| backup.segment_size);
            removal.archives.push(ArchiveRemoval { id: *id, segment_size, content });
        }
        Ok(removal)
    }
}

async fn backup(
    storage: &dyn Storage,
    stanza: &StanzaName,
    label: &BackupLabel,
) -> Result<BackupRemoval> {
    let paths = BackupPaths::new(stanza, label)?;
    let (mut head, mut data, mut total) = (Vec::new(), Vec::new(), 0);
    for entry in storage.list(paths.directory(), true).await? {
        let EntryKind::Object { size } = entry.kind else { continue };
        total += size;
        let is_head = entry.path.parent() == *paths.directory()
            && matches!(entry.path.file_name(), MANIFEST | STARTED);
        if is_head { head.push(entry.path) } else { data.push(entry.path) }
    }
    Ok(BackupRemoval { label: label.clone(), head, data, size: total })
}

/// What goes of an archive; directories of which all stays are not listed.
async fn content(archive: &WalArchive, rule: &ArchiveRule) -> Result<Option<ArchiveContent>> {
    let needed = match rule {
        ArchiveRule::KeepAll => return Ok(None),
        ArchiveRule::RemoveAll => {
            return Ok(Some(ArchiveContent::Everything(archive.all_objects().await?)));
        }
        ArchiveRule::Keep(needed) => needed,
    };
    let mut files = Vec::new();
    for directory in archive.directory_names().await? {
        if !needed.keeps_directory(&directory) {
            let stored = archive.stored_in(&directory).await?;
            files.extend(needed.removable(&stored).into_iter().cloned());
        }
    }
    Ok((!files.is_empty()).then_some(ArchiveContent::Files(files)))
}
