//! Makes the plan of a restore: looks at everything it depends on, and refuses before anything is
//! touched.

use std::{path::PathBuf, sync::Arc};

use super::{
    Error, RecoveryTarget, TimelineChoice, archive, branches,
    plan::{DatabaseChoice, Entries, Layout, PlacementOptions, RestorePlan},
};
use crate::{
    repo::{self, archive::WalArchive, contents, file_list::FileList, manifest::Manifest},
    storage::Storage,
};

/// How a chosen backup is to be restored.
#[derive(Clone, Debug)]
pub struct PlanOptions {
    /// The data directory.
    pub data: PathBuf,
    /// Where recovery is to stop.
    pub target: RecoveryTarget,
    /// Which timeline it shall follow.
    pub timeline: TimelineChoice,
    /// Where tablespaces and links go.
    pub placement: PlacementOptions,
    /// Which databases are restored.
    pub databases: DatabaseChoice,
}

/// Makes the plan to restore `manifest`.
pub async fn plan(
    storage: &Arc<dyn Storage>,
    manifest: Manifest,
    options: &PlanOptions,
) -> Result<RestorePlan, Error> {
    for label in &manifest.references {
        // A missing or damaged parent is found here, and not when half of the files are written.
        contents::read_whole(&**storage, &manifest.stanza, label).await?;
    }
    let archive = WalArchive::new(Arc::clone(storage), &manifest.stanza, manifest.archive_id())?;
    let (target, own) = (&options.target, manifest.wal.stop.timeline);
    let mut warnings = Vec::new();
    let view = archive::view(&archive, own).await?;
    let timeline = view.decide(&manifest, target, options.timeline)?;
    warnings.extend(timeline.note.clone());
    let size = manifest.cluster.wal_segment_size;
    warnings.extend(branches::left_behind(&view, &timeline, options.timeline, target, size));
    if *target != RecoveryTarget::None {
        archive::check_needed(&archive, &manifest).await?;
    }
    warnings.extend(archive::check_onward(&archive, &manifest, target, &timeline, &view).await?);
    let damaged = manifest.page_errors.len();
    if damaged > 0 {
        let label = &manifest.label;
        warnings.push(format!("backup set {label} has page checksum errors in {damaged} file(s)"));
    }
    let list = FileList::read(&**storage, &manifest).await?;
    let sorting = {
        let (manifest, options) = (manifest.clone(), options.clone());
        // Millions of entries take seconds, in which a signal must be heard.
        tokio::task::spawn_blocking(move || sort_out(&manifest, list, &options))
    };
    let (layout, entries) = sorting.await.map_err(repo::Error::Task)??;
    Ok(RestorePlan { manifest, layout, entries, timeline, warnings })
}

/// Where everything goes, and what is made there.
fn sort_out(
    manifest: &Manifest,
    list: FileList,
    options: &PlanOptions,
) -> Result<(Layout, Entries), Error> {
    let layout = Layout::new(&options.data, manifest, &list.files, &options.placement)?;
    let left_out = options.databases.left_out(manifest, &list.files)?;
    let mode = manifest.cluster.data_directory_mode;
    let mut entries = Entries::new(list.files, &layout, &options.target, mode)?;
    entries.leave_out(&left_out);
    Ok((layout, entries))
}
