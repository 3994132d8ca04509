//! The backups to verify: their manifests, and whether these agree with each other and with the
//! stanza's history.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Error, FaultKind, LeftOver, Options, inventory::Inventory, report::Findings};
use crate::{
    repo::{
        self,
        layout::{BackupPaths, FILE_LIST, MANIFEST, STARTED},
        manifest::{Manifest, ObjectRecord},
        retention::{LOST_GRACE_SECONDS, Unpublished, UnpublishedState},
        stanza::StanzaEntry,
        started::Started,
    },
    storage::Storage,
    types::{ArchiveId, BackupLabel, BackupType, StanzaName},
};

/// What the file list of a backup says of its bundles, by their names in the backup's directory.
pub(super) type Bundles = BTreeMap<String, ObjectRecord>;

/// The backups to verify.
#[derive(Debug)]
pub(super) struct Backups {
    pub(super) stanza: StanzaName,
    scope: BTreeSet<BackupLabel>,
    /// Those that could be read.
    manifests: BTreeMap<BackupLabel, Manifest>,
    /// Of the file lists that could be read.
    bundles: BTreeMap<BackupLabel, Bundles>,
    pub(super) left_over: Vec<LeftOver>,
}

/// What is wrong with a directory that has a file list and no manifest.
const LOST: &str = "it does not exist, and the file list of the backup does: it was lost, or publishing or removing the \
                    backup was cut short";

impl Backups {
    /// Reads the manifests.
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
                match inventory.is_published(label) {
                    true => backups.add(&**storage, label, inventory, findings).await,
                    false => {
                        backups.add_left_over(&**storage, label, inventory, findings).await?;
                    }
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
        let started = match inventory.has(label, STARTED) {
            true => match Started::read(storage, &BackupPaths::new(&self.stanza, label)?).await {
                Ok(started) => Some(started),
                // It was removed since it was listed.
                Err(error) if error.is_not_found() => None,
                Err(error) => {
                    // Expire removes nothing as long as it cannot read it.
                    findings.add_error(inventory.path(label, STARTED), &error);
                    None
                }
            },
            false => None,
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
            let fault = findings.add(inventory.path(label, MANIFEST), FaultKind::Missing, LOST);
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

    /// The manifest of a backup, where it could be read.
    pub(super) fn manifest(&self, label: &BackupLabel) -> Option<&Manifest> {
        self.manifests.get(label)
    }

    /// What the file list of a backup says of its bundles, where it could be read.
    pub(super) fn bundles(&self, label: &BackupLabel) -> Option<&Bundles> {
        self.bundles.get(label)
    }

    /// Keeps what a file list says of the bundles.
    pub(super) fn keep_bundles(&mut self, label: &BackupLabel, bundles: Bundles) {
        self.bundles.insert(label.clone(), bundles);
    }

    /// The chains: every full with all that depends on it, oldest first.
    pub(super) fn chains(&self) -> Vec<Vec<BackupLabel>> {
        let mut chains: BTreeMap<&str, Vec<BackupLabel>> = BTreeMap::new();
        for label in &self.scope {
            chains.entry(label.full_label()).or_default().push(label.clone());
        }
        chains.into_values().collect()
    }

    /// Stored bytes of everything to read.
    pub(super) fn stored_size(&self, inventory: &Inventory) -> u64 {
        self.scope.iter().map(|label| inventory.size_of(label)).sum()
    }

    /// Holds the manifests against each other and against the history.
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
            // Noted when it was read; what depends on it cannot be restored either.
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
