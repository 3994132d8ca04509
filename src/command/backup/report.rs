//! What is said of a backup that was published.

use crate::{repo::manifest::Manifest, ui};

/// Logs the label and sizes, and what is wrong with it.
pub(super) fn published(manifest: &Manifest) {
    report(manifest);
    report_left_out(manifest);
}

fn report(manifest: &Manifest) {
    let totals = manifest.totals;
    tracing::info!("new backup label = {}", manifest.label);
    tracing::info!(
        "{} backup size = {}, file total = {}, stored = {}",
        manifest.kind(),
        ui::size(totals.size_delta),
        totals.files,
        ui::size(totals.repo_size_delta)
    );
    let damaged = manifest.damaged_files().len();
    if damaged > 0 {
        tracing::warn!(
            "damaged pages in {damaged} file(s): the backup is kept and marked; see info --set={}",
            manifest.label
        );
    }
}

/// The entries that the backup lacks, said where it ends.
fn report_left_out(manifest: &Manifest) {
    if !manifest.left_out.is_empty() {
        tracing::warn!(
            "{} link(s) of the data directory are not in the backup, which is marked; see info --set={}\n\
             HINT: --backup-source=local, on the host of the server and with its mounts, follows links; a link that \
             the server does not need can be removed",
            manifest.left_out.len(),
            manifest.label
        );
    }
}
