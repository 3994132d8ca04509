//! The objects of the archive by directory, for expire and stanza-delete.

use super::{Error, StoredWal, WalArchive, layout};
use crate::{
    storage::{Entry, EntryKind, ObjectPath, Storage},
    types::{ArchiveId, StanzaName},
};

/// The archive ids of a stanza, from the directories that are there. Other directory names are skipped.
pub async fn archive_ids(
    storage: &dyn Storage,
    stanza: &StanzaName,
) -> Result<Vec<ArchiveId>, Error> {
    let entries = storage.list(&layout::archive_directory(stanza)?, false).await?;
    let directories = entries.iter().filter(|entry| entry.kind == EntryKind::Directory);
    Ok(directories.filter_map(|entry| entry.path.file_name().parse().ok()).collect())
}

impl WalArchive {
    /// The names of the directories directly below the archive's own, in order.
    pub async fn directory_names(&self) -> Result<Vec<String>, Error> {
        let entries = self.storage.list(&self.directory, false).await?;
        let directories = entries.into_iter().filter(|entry| entry.kind == EntryKind::Directory);
        Ok(directories.map(|entry| entry.path.file_name().to_owned()).collect())
    }

    /// The archived files in one directory, sorted by name. Objects with other names are skipped.
    pub async fn stored_in(&self, directory: &str) -> Result<Vec<StoredWal>, Error> {
        let entries = self.storage.list(&self.directory.join(directory)?, false).await?;
        let stored = entries.iter().filter_map(|entry| match entry.kind {
            EntryKind::Object { size } => StoredWal::parse(&entry.path, size),
            EntryKind::Directory => None,
        });
        Ok(stored.collect())
    }

    /// Every object of the archive. Objects with other names are skipped.
    pub async fn all_objects(&self) -> Result<Vec<ObjectPath>, Error> {
        let entries = self.storage.list(&self.directory, true).await?;
        let is_ours = |entry: &Entry| {
            entry.kind != EntryKind::Directory && StoredWal::parse(&entry.path, 0).is_some()
        };
        Ok(entries.into_iter().filter(is_ours).map(|entry| entry.path).collect())
    }
}
