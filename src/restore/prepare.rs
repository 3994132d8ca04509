//! Makes the plan of a restore: looks at everything it depends on, and refuses before anything is
//! touched.

use std::{path::PathBuf, sync::Arc};

use super::{
    Error, archive, branches,
    plan::{DatabaseChoice, Entries, Layout, PlacementOptions, RestorePlan},
};
use crate::{
    repo::{
        archive::WalArchive,
        contents,
        file_list::{EntryKind, FileEntry, FileList},
        manifest::Manifest,
    },
    storage::Storage,
    types::{ErrorCode, RecoveryTarget, TargetTimeline, counted},
    work,
};

/// How a chosen backup is to be restored.
#[derive(Clone, Debug)]
pub struct PlanOptions {
    /// The data directory.
    pub data: PathBuf,
    /// Where recovery is to stop.
    pub target: RecoveryTarget,
    /// The timeline that recovery follows.
    pub timeline: TargetTimeline,
    /// Where tablespaces and links go.
    pub placement: PlacementOptions,
    /// Whether the links that the data directory has stay (`--delta`).
    pub keep_links: bool,
    /// Which databases are restored.
    pub databases: DatabaseChoice,
}

/// Maximum number of missing entries that are named.
const LEFT_OUT_NAMED_MAX: usize = 20;
const CONFIGURATION: &[u8] = b"postgresql.conf";

/// Debian keeps the configuration elsewhere; then a copy on another host has none to start with.
fn no_configuration(list: &FileList) -> Option<String> {
    let has = list.files.iter().any(|entry| entry.path.as_bytes() == CONFIGURATION);
    (!has).then(|| {
        "the backup contains no postgresql.conf, because it was outside of the data directory: \
         copy it before PostgreSQL is started"
            .to_owned()
    })
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
    let (damaged, label) = (manifest.page_errors.len(), &manifest.label);
    if damaged > 0 {
        let files = counted(damaged as u64, "file");
        warnings.push(format!("backup set {label} has page checksum errors in {files}"));
    }
    let left_out = manifest.left_out.iter().take(LEFT_OUT_NAMED_MAX);
    warnings.extend(left_out.map(|path| {
        format!("'{path}' is not in the backup: it was a symbolic link that could not be followed")
    }));
    let misaligned = manifest.misaligned_files.len();
    if misaligned > 0 {
        let files = counted(misaligned as u64, "relation file");
        warnings.push(format!("backup set {label} has {files} with a partial page at the end"));
    }
    let list = FileList::read(&**storage, &manifest).await?;
    let sorting = {
        let (manifest, options) = (manifest.clone(), options.clone());
        // Millions of entries take seconds, in which a signal must be heard.
        work::blocking(move || sort_out(&manifest, list, &options))
    };
    let Sorted { layout, entries, notes } = sorting.await??;
    warnings.extend(notes);
    Ok(RestorePlan { manifest, layout, entries, timeline, warnings })
}

/// Where everything goes, what is made there, and what is remarkable about it.
struct Sorted {
    layout: Layout,
    entries: Entries,
    notes: Vec<String>,
}

fn sort_out(manifest: &Manifest, list: FileList, options: &PlanOptions) -> Result<Sorted, Error> {
    check_auto_conf(&list)?;
    let placement = options.placement.clone();
    let placement = match options.keep_links {
        true => placement.with_links_of(&options.data, &list.files)?,
        false => placement,
    };
    let layout = Layout::new(&options.data, manifest, &list.files, &placement)?;
    let mut notes = layout.links_not_made(&list.files);
    notes.extend(tablespaces_in_place(&list));
    if let Some(note) = no_configuration(&list) {
        tracing::warn!("{note}");
    }
    let left_out = options.databases.left_out(manifest, &list.files)?;
    let mode = manifest.cluster.data_directory_mode;
    let mut entries = Entries::new(list.files, &layout, &options.target, mode)?;
    entries.leave_out(&left_out);
    Ok(Sorted { layout, entries, notes })
}

/// PostgreSQL ends its recovery with a PANIC where it finds such a tablespace and may not (`CheckTablespaceDirectory` in
/// `xlogrecovery.c`).
fn tablespaces_in_place(list: &FileList) -> Option<String> {
    let in_place = |entry: &&FileEntry| {
        entry.path.is_within("pg_tblspc")
            && matches!(entry.kind, EntryKind::Dir)
            && entry.path.to_string().matches('/').count() == 1
    };
    list.files.iter().find(in_place).map(|entry| {
        format!(
            "'{}' is a tablespace within the data directory: set allow_in_place_tablespaces = on \
             for recovery",
            entry.path
        )
    })
}

/// The file to which the recovery settings are appended is read whole.
pub(super) const AUTO_CONF_BYTES_MAX: u64 = 16 << 20;

fn check_auto_conf(list: &FileList) -> Result<(), Error> {
    let is_large = |entry: &&FileEntry| {
        entry.path.as_bytes() == b"postgresql.auto.conf" && entry.size() > AUTO_CONF_BYTES_MAX
    };
    match list.files.iter().find(is_large) {
        None => Ok(()),
        Some(entry) => Err(Error::refused(
            ErrorCode::Format,
            format!(
                "'{}' has {} bytes in the backup, and is not a file of PostgreSQL",
                entry.path,
                entry.size()
            ),
            "restore another backup, or from another repository",
        )),
    }
}
