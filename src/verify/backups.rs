//! The backups to verify. Reads their manifests and checks them against each other and against the stanza's history.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Error, FaultKind, LeftOver, Options,
    findings::Findings,
    inventory::{Inventory, is_change},
};
use crate::{
    repo::{
        self,
        layout::{BackupPaths, FILE_LIST, LOST, MANIFEST, STARTED},
        manifest::{Manifest, ObjectRecord},
        retention::{LOST_GRACE_SECONDS, Unpublished, UnpublishedState},
        stanza::StanzaEntry,
        started::Started,
    },
    storage::Storage,
    types::{ArchiveId, BackupLabel, BackupType, StanzaName},
};

/// The records of a backup's bundles in its file list, by name below the backup's directory.
pub(super) type Bundles = BTreeMap<String, ObjectRecord>;

#[derive(Debug)]
pub(super) struct Backups {
    pub(super) stanza: StanzaName,
    scope: BTreeSet<BackupLabel>,
    /// Only those that could be read.
    manifests: BTreeMap<BackupLabel, Manifest>,
    /// Only of file lists that could be read.
    bundles: BTreeMap<BackupLabel, Bundles>,
    pub(super) left_over: Vec<LeftOver>,
}

/// The fault of a directory with a file list but no manifest.
const LOST_MANIFEST: &str = "it does not exist, and the file list of the backup does: it was lost, or publishing or removing the \
                    backup was cut short";

impl Backups {
    pub(super) async fn read(
        storage: &Arc<dyn Storage>,
        stanza: &StanzaName,
        inventory: &Inventory,
        options: &Options,
        findings: &mut Findings,
    ) -> Result<Self, Error> {
        let mut backups = Self {
            stanza: stanza.clone(),
            scope: BTreeSet::new(),
            manifests: BTreeMap::new(),
            bundles: BTreeMap::new(),
            left_over: Vec::new(),
        };
        let Some(set) = &options.set else {
            for label in inventory.labels() {
                if inventory.is_published(label) {
                    backups.add(&**storage, label, inventory, findings).await
                } else {
                    backups.add_left_over(&**storage, label, inventory, findings).await?;
                }
            }
            return Ok(backups);
        };
        if !inventory.is_published(set) {
            let (label, location) = (set.to_string(), storage.location());
            return Err(repo::Error::BackupMissing { label, location }.into());
        }
        backups.add(&**storage, set, inventory, findings).await;
        let references = backups.manifest(set).map(|manifest| manifest.references.clone());
        for label in references.iter().flatten().filter(|label| inventory.is_published(label)) {
            backups.add(&**storage, label, inventory, findings).await;
        }
        Ok(backups)
    }

    async fn add(
        &mut self,
        storage: &dyn Storage,
        label: &BackupLabel,
        inventory: &Inventory,
        findings: &mut Findings,
    ) {
        self.scope.insert(label.clone());
        let size = inventory.objects(label).find(|(name, _)| *name == MANIFEST);
        findings.count(size.map_or(0, |(_, size)| size), 0);
        match Manifest::read(storage, &self.stanza, label).await {
            Ok(manifest) => drop(self.manifests.insert(label.clone(), manifest)),
            Err(error) => {
                let object = inventory.path(label, MANIFEST);
                findings.add_error(object, &error).of(label);
            }
        }
    }

    async fn add_left_over(
        &mut self,
        storage: &dyn Storage,
        label: &BackupLabel,
        inventory: &Inventory,
        findings: &mut Findings,
    ) -> Result<(), Error> {
        let started = if inventory.has(label, STARTED) {
            match Started::read(storage, &BackupPaths::new(&self.stanza, label)?).await {
                Ok(started) => Some(started),
                // Removed since the listing.
                Err(error) if error.is_not_found() => None,
                Err(error) => {
                    // A fault, because expire removes nothing while it cannot be read.
                    findings.add_error(inventory.path(label, STARTED), &error);
                    None
                }
            }
        } else {
            None
        };
        let directory = Unpublished {
            label: label.clone(),
            is_abandoned: started.as_ref().is_some_and(|notice| notice.writer.is_gone()),
            started: started.clone(),
            newest: inventory.newest(label),
            has_file_list: inventory.has(label, FILE_LIST),
            lost_since: None,
        };
        let now = jiff::Timestamp::now().as_second();
        if matches!(directory.state(now), UnpublishedState::Lost(_)) {
            let fault =
                findings.add(inventory.path(label, MANIFEST), FaultKind::Missing, LOST_MANIFEST);
            fault.of(label).hint = format!(
                "bring it back from a copy of the repository; expire removes the rest after {} days, \
                 or at once with --set={label}",
                LOST_GRACE_SECONDS / 86_400
            );
        }
        self.left_over.push(LeftOver {
            label: label.clone(),
            objects: inventory.objects(label).count() as u64,
            size: inventory.size_of(label),
            started: started.map(|started| (started.time, started.writer.host)),
        });
        Ok(())
    }

    /// The labels of the backups to verify, oldest first.
    pub(super) fn in_scope(&self) -> impl Iterator<Item = &BackupLabel> {
        self.scope.iter()
    }

    /// The manifests that could be read, oldest first.
    pub(super) fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.manifests.values()
    }

    /// `None` if it could not be read.
    pub(super) fn manifest(&self, label: &BackupLabel) -> Option<&Manifest> {
        self.manifests.get(label)
    }

    /// `None` if the file list could not be read.
    pub(super) fn bundles(&self, label: &BackupLabel) -> Option<&Bundles> {
        self.bundles.get(label)
    }

    pub(super) fn keep_bundles(&mut self, label: &BackupLabel, bundles: Bundles) {
        self.bundles.insert(label.clone(), bundles);
    }

    /// The incremental chains: every full with all that depends on it, oldest first.
    pub(super) fn chains(&self) -> Vec<Vec<BackupLabel>> {
        let mut chains: BTreeMap<&str, Vec<BackupLabel>> = BTreeMap::new();
        for label in &self.scope {
            chains.entry(label.full_label()).or_default().push(label.clone());
        }
        chains.into_values().collect()
    }

    /// Stored bytes that will be read.
    pub(super) fn stored_size(&self, inventory: &Inventory) -> u64 {
        self.scope.iter().map(|label| inventory.size_of(label)).sum()
    }

    /// Checks the manifests against each other and against the history.
    pub(super) fn check_consistency(
        &self,
        history: &[StanzaEntry],
        inventory: &Inventory,
        findings: &mut Findings,
    ) {
        for manifest in self.manifests.values() {
            let object = inventory.path(&manifest.label, MANIFEST);
            let contradictions = [
                prior_is_wrong(manifest),
                wal_is_wrong(manifest),
                cluster_is_wrong(manifest, history),
            ];
            for what in contradictions.into_iter().flatten() {
                findings.add(&object, FaultKind::Inconsistent, what).of(&manifest.label);
            }
            for reference in &manifest.references {
                self.check_reference(manifest, reference, inventory, findings);
            }
        }
    }

    fn check_reference(
        &self,
        manifest: &Manifest,
        reference: &BackupLabel,
        inventory: &Inventory,
        findings: &mut Findings,
    ) {
        let object = inventory.path(reference, MANIFEST);
        if !inventory.is_published(reference) {
            let what = "it does not exist, and other backups refer to it";
            findings.add(object, FaultKind::Missing, what).of(&manifest.label);
            return;
        }
        let Some(parent) = self.manifest(reference) else {
            // Its fault was added when it was read; this backup cannot be restored either.
            findings.of_object(&object, &manifest.label);
            return;
        };
        let object = inventory.path(&manifest.label, MANIFEST);
        let position = manifest.references.iter().position(|label| label == reference);
        let before = &manifest.references[..position.unwrap_or(0)];
        let differs = match () {
            _ if parent.block != manifest.block => "another block size or digest key",
            _ if parent.cluster.system_id != manifest.cluster.system_id => "another cluster",
            _ if parent.references != before => "other references before it",
            _ => return,
        };
        let what = format!("it refers to backup {reference}, which has {differs}");
        findings.add(object, FaultKind::Inconsistent, what).of(&manifest.label);
    }

    /// Adds a fault for every object that belongs to nothing. Bundles of a backup whose file list could not be read
    /// are skipped.
    pub(super) fn report_orphans(&self, inventory: &Inventory, findings: &mut Findings) {
        for path in &inventory.foreign {
            findings.add(path, FaultKind::Orphan, "it belongs to no backup");
        }
        for (label, names) in inventory.backups() {
            if !inventory.is_published(label) {
                continue;
            }
            let bundles = self.bundles(label);
            for name in names {
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
                    findings.add(inventory.path(label, name), FaultKind::Orphan, what);
                }
            }
        }
    }

    /// The archives whose WAL the backups need.
    pub(super) fn archive_ids(&self) -> BTreeMap<String, ArchiveId> {
        let ids = self.manifests.values().map(Manifest::archive_id);
        ids.map(|id| (id.to_string(), id)).collect()
    }
}

fn prior_is_wrong(manifest: &Manifest) -> Option<String> {
    let (kind, prior) = (manifest.kind(), &manifest.prior);
    let first = manifest.references.first();
    match kind {
        BackupType::Full if prior.is_some() || first.is_some() => {
            Some("it is a full backup and refers to others".to_owned())
        }
        BackupType::Full => None,
        _ if prior.is_none() || manifest.references.last() != prior.as_ref() => {
            Some("its prior is not the last backup that it refers to".to_owned())
        }
        _ if first.map(BackupLabel::as_str) != Some(manifest.label.full_label()) => {
            Some("the first backup that it refers to is not its full".to_owned())
        }
        _ => None,
    }
}

fn wal_is_wrong(manifest: &Manifest) -> Option<String> {
    let (start, stop) = (manifest.wal.start, manifest.wal.stop);
    let reversed = start.lsn >= stop.lsn || start.timeline > stop.timeline;
    reversed.then(|| format!("it starts at {} and stops at {}", start.lsn, stop.lsn))
}

fn cluster_is_wrong(manifest: &Manifest, history: &[StanzaEntry]) -> Option<String> {
    let cluster = &manifest.cluster;
    let entry = history.iter().find(|entry| entry.id == cluster.history_id);
    match entry.map(|entry| entry.cluster) {
        Some(known) if (known.system_id, known.version) != (cluster.system_id, cluster.version) => {
            Some(format!(
                "it is of another cluster than number {} of the stanza",
                cluster.history_id
            ))
        }
        Some(_) => None,
        None => Some(format!("the stanza knows no cluster number {}", cluster.history_id)),
    }
}
