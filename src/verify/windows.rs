//! Verifies the continuity of the WAL from listings: from start to stop of every backup, and from there to the newest
//! segment.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use jiff::tz::TimeZone;

use super::{FaultKind, Options, backups::Backups, findings::Findings};
use crate::{
    repo::{
        self,
        archive::{SegmentRange, WalArchive},
        backup_list,
        keep::{self, KeepMark},
        layout::BackupPaths,
        manifest::Manifest,
        retention::{self, BackupSummary, Inventory, Scope, wal::ArchiveRule},
    },
    restore::{ArchiveWal, Branch, RecoveryWindow, UnusableHistory},
    storage::Storage,
    types::{ArchiveFile, ArchiveId, BackupLabel, StanzaName, TimeLine, WalSegment},
};

/// How far each backup can be recovered, and the gaps and branches of each archive.
#[derive(Debug, Default)]
pub(super) struct Windows {
    pub(super) by_label: BTreeMap<BackupLabel, RecoveryWindow>,
    pub(super) by_archive: HashMap<ArchiveId, (Vec<SegmentRange>, Vec<Branch>)>,
}

/// Checks the archives of all backups. A gap between start and stop makes a backup unusable, a later gap ends its
/// recovery: both are faults. WAL that retention does not keep is not missing.
pub(super) async fn check(
    storage: &Arc<dyn Storage>,
    backups: &Backups,
    options: &Options,
    findings: &mut Findings,
) -> Windows {
    let mut windows = Windows::default();
    let mut kept = None;
    for id in backups.archive_ids().into_values() {
        let manifests: Vec<&Manifest> =
            backups.manifests().filter(|manifest| manifest.archive_id() == id).collect();
        let Some(newest) = manifests.last() else { continue };
        let archive = match WalArchive::new(Arc::clone(storage), &backups.stanza, id) {
            Ok(archive) => archive,
            Err(error) => {
                let object = format!("archive/{}/{id}", backups.stanza);
                let fault = findings.add_error(object, &error);
                fault.of_all(manifests.iter().map(|manifest| &manifest.label));
                continue;
            }
        };
        // History files that cannot be read are read again with all other files; their faults are added there.
        let wal = match ArchiveWal::look(&archive, newest.cluster.wal_segment_size).await {
            Ok((wal, _)) => wal,
            Err(error) => {
                let fault = findings.add_error(archive.directory().as_str(), &error);
                fault.of_all(manifests.iter().map(|manifest| &manifest.label));
                continue;
            }
        };
        for manifest in &manifests {
            let window = wal.window(manifest);
            let recorded = recorded_behind(&window, &manifests);
            if (window.hole.is_some() || recorded.is_some()) && kept.is_none() {
                let stanza = &backups.stanza;
                kept = Some(KeptWal::by_retention(storage, stanza, options, findings).await);
            }
            let missed =
                |range: &SegmentRange| kept.as_ref().is_none_or(|kept| kept.holds(id, range.first));
            note(&archive, manifest, &window, missed, findings);
            if let Some(range) = recorded.filter(&missed) {
                let what =
                    format!("WAL that a later backup found in the archive is missing: {range}");
                findings.add(object(&archive, &range), FaultKind::Hole, what).of(&manifest.label);
            }
            windows.by_label.insert(manifest.label.clone(), window);
        }
        windows.by_archive.insert(id, (wal.segments().holes(), wal.branches()));
    }
    windows
}

async fn mark_of(
    storage: &Arc<dyn Storage>,
    stanza: &StanzaName,
    label: &BackupLabel,
) -> Result<Option<KeepMark>, repo::Error> {
    keep::read(&**storage, &BackupPaths::new(stanza, label)?).await
}

struct KeptWal(Vec<(ArchiveId, ArchiveRule)>);

impl KeptWal {
    /// Computes retention like expire. If that fails, which is a fault, all WAL counts as kept.
    async fn by_retention(
        storage: &Arc<dyn Storage>,
        stanza: &StanzaName,
        options: &Options,
        findings: &mut Findings,
    ) -> Self {
        let listed = match backup_list::list(storage, stanza).await {
            Ok(listed) => listed,
            Err(error) => {
                findings.add_error(format!("backup/{stanza}"), &error);
                return Self(Vec::new());
            }
        };
        let (mut backups, mut unknown) = (Vec::new(), false);
        for (label, manifest) in listed {
            // The fault of an unreadable one was added with its backup.
            let Ok(manifest) = manifest else {
                unknown = true;
                continue;
            };
            match mark_of(storage, stanza, &label).await {
                Ok(mark) => backups.push(BackupSummary::new(&manifest, mark)),
                Err(error) => {
                    findings.add_error(format!("backup/{stanza}/{label}/keep"), &error).of(&label);
                    unknown = true;
                }
            }
        }
        if unknown { Self(Vec::new()) } else { Self::of(backups, options, stanza, findings) }
    }

    fn of(
        backups: Vec<BackupSummary>,
        options: &Options,
        stanza: &StanzaName,
        findings: &mut Findings,
    ) -> Self {
        let now = jiff::Timestamp::now().as_second();
        let Some(current) = backups.last().map(|backup| backup.archive_id) else {
            return Self(Vec::new());
        };
        let archives: Vec<ArchiveId> = backups.iter().map(|backup| backup.archive_id).collect();
        let inventory = Inventory { backups, unpublished: Vec::new(), archives, current };
        let zone = TimeZone::system();
        let plan = retention::plan(&inventory, &options.retention, &Scope::Retention, now, &zone);
        match plan {
            Ok(plan) => Self(plan.archives),
            Err(error) => {
                let what = format!("unable to determine what retention keeps: {error}");
                findings.add(format!("backup/{stanza}"), FaultKind::Inconsistent, what);
                Self(Vec::new())
            }
        }
    }

    fn holds(&self, id: ArchiveId, segment: WalSegment) -> bool {
        match self.0.iter().find(|(known, _)| *known == id) {
            Some((_, ArchiveRule::Keep(needed))) => needed.keeps(segment),
            _ => true,
        }
    }
}

/// The WAL missing after a window up to the stop of a later backup on its timeline: a loss of the newest WAL leaves no
/// gap that a newer segment would reveal.
fn recorded_behind(window: &RecoveryWindow, manifests: &[&Manifest]) -> Option<SegmentRange> {
    let is_onward = |manifest: &&&Manifest| {
        manifest.archive_checked && manifest.wal.stop.timeline == window.last.timeline
    };
    let newest = manifests.iter().filter(is_onward).map(|m| m.wal_stop()).max()?;
    let size = manifests.first()?.cluster.wal_segment_size;
    let is_reached =
        window.unusable.is_none() && window.missing.is_empty() && window.hole.is_none();
    let is_cut = is_reached && newest > window.last;
    is_cut.then(|| SegmentRange { first: window.last.next(size), last: newest, size })
}

fn object(archive: &WalArchive, range: &SegmentRange) -> String {
    format!("{}/{}/{}", archive.directory(), range.first.directory(), range.first)
}

fn note(
    archive: &WalArchive,
    manifest: &Manifest,
    window: &RecoveryWindow,
    missed: impl Fn(&SegmentRange) -> bool,
    findings: &mut Findings,
) {
    for range in &window.missing {
        let what = format!("WAL that backups need to reach consistency is missing: {range}");
        findings.add(object(archive, range), FaultKind::Missing, what).of(&manifest.label);
    }
    if let Some(hole) = window.hole.as_ref().filter(|hole| missed(hole)) {
        let what = format!(
            "WAL is missing, but later WAL is there: {hole}; recovery of earlier backups stops at {}",
            window.end
        );
        findings.add(object(archive, hole), FaultKind::Hole, what).of(&manifest.label);
    }
    let history =
        |timeline: TimeLine| format!("{}/{}", archive.directory(), timeline.history_file_name());
    match window.unusable {
        Some(UnusableHistory::Missing(timeline)) => {
            let what = "backups that began on an older timeline need it to become consistent, and it is missing or \
                        cannot be read";
            findings.add(history(timeline), FaultKind::Missing, what).of(&manifest.label);
        }
        Some(UnusableHistory::Other(timeline)) => {
            let what = "it does not lead back to where a backup that stopped on this timeline began: another server \
                        was promoted to the same timeline";
            findings.add(history(timeline), FaultKind::Inconsistent, what).of(&manifest.label);
        }
        None => {}
    }
    for timeline in &window.histories_missing {
        let object = history(*timeline);
        let what = "it is missing, but WAL of that timeline is in the archive";
        findings.add(object, FaultKind::Missing, what).of(&manifest.label);
    }
}

impl Windows {
    /// Whether a backup cannot become consistent without a file.
    pub(super) fn is_needed(&self, backups: &Backups, id: ArchiveId, file: ArchiveFile) -> bool {
        let ArchiveFile::Segment(segment) = file else {
            return matches!(file, ArchiveFile::History(_));
        };
        let of_archive = backups.manifests().filter(|manifest| manifest.archive_id() == id);
        let mut windows = of_archive.filter_map(|manifest| self.by_label.get(&manifest.label));
        windows.any(|window| window.needed.iter().any(|range| range.contains(segment)))
    }

    /// The backups whose recovery reads a file: those that start before it and whose window includes it.
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
                    timeline > manifest.wal.start.timeline && timeline <= last.timeline
                }
                // Recovery reads neither.
                ArchiveFile::Partial(_) | ArchiveFile::BackupHistory(..) => false,
            }
        };
        let of_archive = backups.manifests().filter(move |manifest| manifest.archive_id() == id);
        of_archive.filter(reads).map(|manifest| &manifest.label).collect()
    }
}
