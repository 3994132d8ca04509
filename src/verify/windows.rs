//! Continuity of the WAL: from start to stop of every backup, and from there to the newest segment.
//! From listings alone.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{FaultKind, backups::Backups, report::Findings};
use crate::{
    repo::{
        archive::{SegmentRange, WalArchive},
        manifest::Manifest,
    },
    restore::{ArchiveWal, RecoveryWindow},
    storage::Storage,
    types::{ArchiveFile, ArchiveId, BackupLabel},
};

/// How far each backup can be rolled forward, and the holes of each archive.
#[derive(Debug, Default)]
pub(super) struct Windows {
    pub(super) by_label: BTreeMap<BackupLabel, RecoveryWindow>,
    pub(super) holes: HashMap<ArchiveId, Vec<SegmentRange>>,
}

/// Looks at the archives of all backups. A hole between start and stop makes a backup worthless, one
/// behind it ends its recovery: both are faults.
pub(super) async fn check(
    storage: &Arc<dyn Storage>,
    backups: &Backups,
    findings: &mut Findings,
) -> Windows {
    let mut windows = Windows::default();
    for id in backups.archive_ids().into_values() {
        let manifests: Vec<&Manifest> =
            backups.manifests().filter(|manifest| manifest.archive_id() == id).collect();
        let Some(newest) = manifests.last() else { continue };
        let Ok(archive) = WalArchive::new(Arc::clone(storage), &backups.stanza, id) else {
            continue;
        };
        match ArchiveWal::look(&archive, newest.cluster.wal_segment_size).await {
            // Histories that cannot be read are read again with all other files, and noted there.
            Ok((wal, _)) => {
                for manifest in manifests {
                    let window = wal.window(manifest);
                    note(&archive, manifest, &window, findings);
                    windows.by_label.insert(manifest.label.clone(), window);
                }
                windows.holes.insert(id, wal.holdings().holes());
            }
            Err(error) => {
                let what = error.to_string();
                let fault = findings.add(archive.directory().as_str(), FaultKind::Unreadable, what);
                fault.of_all(manifests.iter().map(|manifest| &manifest.label));
            }
        }
    }
    windows
}

fn note(
    archive: &WalArchive,
    manifest: &Manifest,
    window: &RecoveryWindow,
    findings: &mut Findings,
) {
    let object = |range: &SegmentRange| {
        let directory = archive.directory();
        format!("{directory}/{}/{}", range.first.directory(), range.first)
    };
    for range in &window.missing {
        let what =
            format!("WAL that backups need to become consistent is missing: {}", named(range));
        findings.add(object(range), FaultKind::Missing, what).of(&manifest.label);
    }
    if let Some(hole) = &window.hole {
        let what = format!(
            "WAL is missing and newer WAL is there: {}; recovery of the backups before it ends at {}",
            named(hole),
            window.end
        );
        findings.add(object(hole), FaultKind::Hole, what).of(&manifest.label);
    }
    for timeline in &window.histories_missing {
        let object = format!("{}/{}", archive.directory(), timeline.history_file_name());
        let what = "it is missing, and there is WAL of that timeline";
        findings.add(object, FaultKind::Missing, what).of(&manifest.label);
    }
}

/// A range as a sentence has it.
fn named(range: &SegmentRange) -> String {
    match range.count() {
        1 => range.first.to_string(),
        count => format!("{} to {} ({count} segments)", range.first, range.last),
    }
}

impl Windows {
    /// The backups whose recovery reads a file: those that begin before it and reach it.
    pub(super) fn affected<'a>(
        &'a self,
        backups: &'a Backups,
        id: ArchiveId,
        file: ArchiveFile,
    ) -> Vec<&'a BackupLabel> {
        let reads = |manifest: &&Manifest| {
            let size = manifest.cluster.wal_segment_size;
            let window = self.by_label.get(&manifest.label);
            let last = window.map_or(manifest.wal_stop(), |window| window.last);
            match file {
                ArchiveFile::Segment(segment) => {
                    let (first, number) = (manifest.wal_start(), segment.number(size));
                    (first.timeline..=last.timeline).contains(&segment.timeline)
                        && (first.number(size)..=last.number(size)).contains(&number)
                }
                ArchiveFile::History(timeline) => {
                    timeline > manifest.wal.stop.timeline && timeline <= last.timeline
                }
                // Recovery reads neither.
                ArchiveFile::Partial(_) | ArchiveFile::BackupHistory(..) => false,
            }
        };
        let of_archive = backups.manifests().filter(move |manifest| manifest.archive_id() == id);
        of_archive.filter(reads).map(|manifest| &manifest.label).collect()
    }
}
