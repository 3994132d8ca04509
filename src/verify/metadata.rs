//! The small objects of a backup beside manifest and file list.

use super::{FaultKind, inventory::Inventory, report::Findings};
use crate::{
    postgres::BackupManifest,
    repo::{layout::STARTED, manifest::Manifest, metadata, object_header::ObjectKind, pg_manifest},
    storage::{ObjectPath, Storage},
    types::{BackupLabel, ProgressSink},
};

/// The greatest of these objects that is read, in bytes.
const SIZE_MAX: usize = 1 << 20;

/// Proves PostgreSQL's manifest, the notice and the changes of a backup.
pub(super) async fn check(
    storage: &dyn Storage,
    manifest: &Manifest,
    inventory: &Inventory,
    progress: &dyn ProgressSink,
    findings: &mut Findings,
) {
    backup_manifest(storage, manifest, inventory, progress, findings).await;
    let label = &manifest.label;
    let started = inventory.objects(label).filter(|(name, _)| *name == STARTED);
    let small: Vec<(&str, u64)> = inventory.changes(label).chain(started).collect();
    for (name, size) in small {
        progress.advance(size);
        findings.count(size, size);
        prove(storage, inventory, label, name, findings).await;
    }
}

async fn backup_manifest(
    storage: &dyn Storage,
    manifest: &Manifest,
    inventory: &Inventory,
    progress: &dyn ProgressSink,
    findings: &mut Findings,
) {
    let object = inventory.path(&manifest.label, "backup_manifest");
    progress.advance(manifest.backup_manifest.size);
    match pg_manifest::read(storage, manifest).await {
        Err(error) => drop(findings.add_error(object, &error).of(&manifest.label)),
        Ok(raw) => {
            findings.count(manifest.backup_manifest.size, raw.len() as u64);
            if let Err(error) = BackupManifest::parse(&raw) {
                let what = format!("it is not what PostgreSQL wrote: {error}");
                findings.add(object, FaultKind::Inconsistent, what).of(&manifest.label);
            }
        }
    }
}

async fn prove(
    storage: &dyn Storage,
    inventory: &Inventory,
    label: &BackupLabel,
    name: &str,
    findings: &mut Findings,
) {
    let object = inventory.path(label, name);
    let Ok(path) = ObjectPath::new(object.clone()) else { return };
    let expected = match name.split('/').next() {
        Some("annotation") => Some(ObjectKind::Annotation),
        Some(STARTED) => Some(ObjectKind::Started),
        _ => None,
    };
    match metadata::prove(storage, &path, SIZE_MAX).await {
        Err(error) => drop(findings.add_error(object, &error).of(label)),
        Ok(kind) if expected.is_some_and(|expected| expected != kind) => {
            let what = "it is an object of another kind";
            findings.add(object, FaultKind::Damaged, what).of(label);
        }
        Ok(_) => {}
    }
}
