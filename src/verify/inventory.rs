//! The objects of a stanza's backups, from one listing.

use std::collections::BTreeMap;

use super::Error;
use crate::{
    repo::{
        changes::change_of,
        layout::{self, LOST, MANIFEST},
    },
    storage::{EntryKind, Storage},
    types::{BackupLabel, StanzaName},
};

/// The directories of numbered changes, see `repo::changes`.
const CHANGES: [&str; 2] = ["annotation", "keep"];

#[derive(Debug, Default)]
pub(super) struct Inventory {
    root: String,
    /// Stored sizes in bytes by label, then by name below the backup's directory.
    backups: BTreeMap<BackupLabel, BTreeMap<String, u64>>,
    /// When the newest object of each backup was created, seconds since 1970, if the store reports times.
    newest: BTreeMap<BackupLabel, i64>,
    /// Objects that belong to no backup.
    pub(super) foreign: Vec<String>,
}

impl Inventory {
    pub(super) async fn list(storage: &dyn Storage, stanza: &StanzaName) -> Result<Self, Error> {
        let root = layout::backup_directory(stanza)?;
        let mut inventory = Self { root: root.to_string(), ..Self::default() };
        for entry in storage.list(&root, true).await? {
            let EntryKind::Object { size } = entry.kind else { continue };
            let below = entry.path.as_str().strip_prefix(root.as_str()).unwrap_or_default();
            let place = below.trim_start_matches('/').split_once('/');
            match place.and_then(|(label, name)| Some((label.parse::<BackupLabel>().ok()?, name))) {
                Some((label, name)) => {
                    if let Some(modified) = entry.modified.filter(|_| name != LOST) {
                        let newest = inventory.newest.entry(label.clone()).or_insert(modified);
                        *newest = modified.max(*newest);
                    }
                    let objects: &mut BTreeMap<_, _> = inventory.backups.entry(label).or_default();
                    objects.insert(name.to_owned(), size);
                }
                None => inventory.foreign.push(entry.path.to_string()),
            }
        }
        Ok(inventory)
    }

    pub(super) fn newest(&self, label: &BackupLabel) -> Option<i64> {
        self.newest.get(label).copied()
    }

    /// The object names of each backup directory, oldest first.
    pub(super) fn backups(
        &self,
    ) -> impl Iterator<Item = (&BackupLabel, impl Iterator<Item = &String>)> {
        self.backups.iter().map(|(label, objects)| (label, objects.keys()))
    }

    /// All directories of backups, oldest first.
    pub(super) fn labels(&self) -> impl Iterator<Item = &BackupLabel> {
        self.backups.keys()
    }

    /// Whether the backup has a manifest.
    pub(super) fn is_published(&self, label: &BackupLabel) -> bool {
        self.backups.get(label).is_some_and(|objects| objects.contains_key(MANIFEST))
    }

    /// Name below the backup's directory and stored size of each object.
    pub(super) fn objects(&self, label: &BackupLabel) -> impl Iterator<Item = (&str, u64)> {
        let objects = self.backups.get(label).into_iter().flatten();
        objects.map(|(name, size)| (name.as_str(), *size))
    }

    /// The objects of annotations and keep marks.
    pub(super) fn changes(&self, label: &BackupLabel) -> impl Iterator<Item = (&str, u64)> {
        self.objects(label).filter(|(name, _)| is_change(name))
    }

    pub(super) fn has(&self, label: &BackupLabel, name: &str) -> bool {
        self.backups.get(label).is_some_and(|objects| objects.contains_key(name))
    }

    /// The stored bytes of a backup's objects.
    pub(super) fn size_of(&self, label: &BackupLabel) -> u64 {
        self.objects(label).map(|(_, size)| size).sum()
    }

    pub(super) fn path(&self, label: &BackupLabel, name: &str) -> String {
        format!("{}/{label}/{name}", self.root)
    }
}

pub(super) fn is_change(name: &str) -> bool {
    let change = name.split_once('/').filter(|(_, file)| change_of(file).is_some());
    change.is_some_and(|(directory, _)| CHANGES.contains(&directory))
}
