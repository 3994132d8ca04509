//! Verifies the small objects of a backup other than manifest and file list.

use super::{FaultKind, findings::Findings, inventory::Inventory};
use crate::{
    postgres::BackupManifest,
    repo::{
        changes::{COPY_SUFFIX, change_of},
        keep,
        layout::{STARTED, numbered},
        manifest::Manifest,
        metadata,
        object_header::ObjectKind,
        pg_manifest,
    },
    storage::{ObjectPath, Storage},
    types::{BackupLabel, ProgressSink},
    work::blocking,
};

/// Maximum size of such an object in bytes.
const SIZE_MAX: usize = 1 << 20;

/// Verifies PostgreSQL's manifest, the notice and the changes of a backup.
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
        if let Some(("keep", file)) = name.split_once('/') {
            check_twin(storage, inventory, label, file, findings).await;
        }
    }
}

/// A change of the keep mark is written twice, so that the loss of one object does not lose the mark.
async fn check_twin(
    storage: &dyn Storage,
    inventory: &Inventory,
    label: &BackupLabel,
    file: &str,
    findings: &mut Findings,
) {
    let Some((number, is_copy)) = change_of(file) else { return };
    let name = format!("keep/{}", numbered(number));
    let twin = if is_copy { name } else { format!("{name}{COPY_SUFFIX}") };
    if inventory.has(label, &twin) {
        return;
    }
    let object = inventory.path(label, &format!("keep/{file}"));
    let Ok(path) = ObjectPath::new(object) else { return };
    // The fault of an unreadable one was added before.
    if is_copy || matches!(keep::is_doubled(storage, &path).await, Ok(true)) {
        let missing = ObjectPath::new(inventory.path(label, &twin));
        // It may have been written since the listing.
        let Ok(missing) = missing else { return };
        if storage.stat(&missing).await.is_err_and(|error| error.is_not_found()) {
            let what = "it does not exist, but the other object of the same keep mark does";
            let fault = findings.add(missing.as_str(), FaultKind::Missing, what);
            fault.hint = format!(
                "the mark is still in force; run keep --set={label} again to write it again"
            );
        }
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
            // Millions of files take seconds, during which a signal has to be handled.
            let parsed = blocking(move || BackupManifest::parse(&raw).map(drop)).await;
            let fault = match parsed {
                Ok(Ok(())) => return,
                Ok(Err(error)) => {
                    let what = format!("it is not what PostgreSQL wrote: {error}");
                    findings.add(object, FaultKind::Inconsistent, what)
                }
                Err(error) => findings.add_error(object, &error.into()),
            };
            fault.of(&manifest.label);
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
    let path = match ObjectPath::new(object.clone()) {
        Ok(path) => path,
        Err(error) => {
            findings.add_error(object, &error.into()).of(label);
            return;
        }
    };
    let expected = match name.split('/').next() {
        Some("annotation") => Some(ObjectKind::Annotation),
        Some("keep") => Some(ObjectKind::Keep),
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
