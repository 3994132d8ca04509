//! What lies below the backups of a stanza, by listing.

use std::collections::BTreeMap;

use super::{Error, FaultKind, backups::Backups, report::Findings};
use crate::{
    repo::{
        changes::change_of,
        layout::{self, LOST, MANIFEST, STARTED},
    },
    storage::{EntryKind, Storage},
    types::{BackupLabel, StanzaName},
};

/// The directories that hold numbered changes of what is said of a backup.
const CHANGES: [&str; 2] = ["annotation", "keep"];

/// The objects of all backups.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    root: String,
    /// By label, then by name within the backup's directory; stored sizes in bytes.
    backups: BTreeMap<BackupLabel, BTreeMap<String, u64>>,
    /// When the newest object of each was made, seconds since 1970, where the store tells.
    newest: BTreeMap<BackupLabel, i64>,
    /// Paths that belong to no backup.
    strangers: Vec<String>,
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
                None => inventory.strangers.push(entry.path.to_string()),
            }
        }
        Ok(inventory)
    }

    /// When the newest object of a backup was made, seconds since 1970.
    pub(super) fn newest(&self, label: &BackupLabel) -> Option<i64> {
        self.newest.get(label).copied()
    }

    /// All directories of backups, oldest first.
    pub(super) fn labels(&self) -> impl Iterator<Item = &BackupLabel> {
        self.backups.keys()
    }

    /// Whether the backup exists: whether it has a manifest.
    pub(super) fn is_published(&self, label: &BackupLabel) -> bool {
        self.backups.get(label).is_some_and(|objects| objects.contains_key(MANIFEST))
    }

    /// The objects of a backup: name within its directory, and stored size.
    pub(super) fn objects(&self, label: &BackupLabel) -> impl Iterator<Item = (&str, u64)> {
        let objects = self.backups.get(label).into_iter().flatten();
        objects.map(|(name, size)| (name.as_str(), *size))
    }

    /// The changes of what is said of a backup: annotations and the like.
    pub(super) fn changes(&self, label: &BackupLabel) -> impl Iterator<Item = (&str, u64)> {
        self.objects(label).filter(|(name, _)| is_change(name))
    }

    /// Whether the backup has an object of that name.
    pub(super) fn has(&self, label: &BackupLabel, name: &str) -> bool {
        self.backups.get(label).is_some_and(|objects| objects.contains_key(name))
    }

    /// The stored bytes of a backup's objects.
    pub(super) fn size_of(&self, label: &BackupLabel) -> u64 {
        self.objects(label).map(|(_, size)| size).sum()
    }

    /// The path of an object of a backup.
    pub(super) fn path(&self, label: &BackupLabel, name: &str) -> String {
        format!("{}/{label}/{name}", self.root)
    }

    /// Notes every object that nothing accounts for. Nothing can be said of the bundles of a backup whose
    /// file list could not be read.
    pub(super) fn report_strangers(&self, backups: &Backups, findings: &mut Findings) {
        for path in &self.strangers {
            findings.add(path, FaultKind::Orphan, "it belongs to no backup");
        }
        for (label, objects) in &self.backups {
            if !self.is_published(label) {
                continue;
            }
            let bundles = backups.bundles(label);
            for name in objects.keys() {
                let known = matches!(
                    name.as_str(),
                    MANIFEST | STARTED | LOST | "files" | "backup_manifest"
                ) || is_change(name)
                    || match bundles {
                        Some(records) => records.contains_key(name),
                        None => name.starts_with("bundle/") || name.starts_with("map/"),
                    };
                if !known {
                    let what = "the backup does not know it";
                    findings.add(self.path(label, name), FaultKind::Orphan, what);
                }
            }
        }
    }
}

fn is_change(name: &str) -> bool {
    let change = name.split_once('/').filter(|(_, file)| change_of(file).is_some());
    change.is_some_and(|(directory, _)| CHANGES.contains(&directory))
}
