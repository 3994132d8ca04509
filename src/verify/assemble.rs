//! Assembles the report.

use std::time::Duration;

use super::{
    archive::Archives,
    backups::Backups,
    findings::Findings,
    inventory::Inventory,
    report::{BackupReport, Checked, Report},
    windows::Windows,
};
use crate::types::BackupLabel;

pub(super) fn report(
    findings: Findings,
    backups: &Backups,
    inventory: &Inventory,
    archives: Archives,
    windows: Windows,
    elapsed: Duration,
) -> Report {
    let checked = Checked { elapsed, ..findings.checked };
    let faults = findings.into_faults();
    let (mut by_label, mut by_archive) = (windows.by_label, windows.by_archive);
    let of_backup = |label: &BackupLabel| {
        let affected = faults.iter().filter(|fault| fault.backups.contains(label));
        let totals = backups.manifest(label).map(|manifest| manifest.totals).unwrap_or_default();
        BackupReport {
            label: label.clone(),
            faults: affected.count() as u64,
            files: totals.files,
            size: totals.size,
            repo_size: inventory.size_of(label),
            window: by_label.remove(label),
        }
    };
    Report {
        backups: backups.in_scope().map(of_backup).collect(),
        archives: archives.reports(|id| by_archive.remove(&id).unwrap_or_default()),
        left_over: backups.left_over.clone(),
        checked,
        faults,
    }
}
