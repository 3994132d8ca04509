//! Looks at the WAL archive for what a recovery will need of it, before anything is touched.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    Error,
    plan::{ArchiveView, TimelineDecision, wal},
};
use crate::{
    repo::{archive::WalArchive, manifest::Manifest, wal_needed},
    types::{
        ArchiveFile, ErrorCode, Lsn, RecoveryTarget, TargetTime, TimeLine, TimelineHistory,
        WalSegment,
    },
};

/// How many missing segments are named.
const NAMED_MAX: usize = 20;

/// What the archive holds that decides on the timeline; histories of timelines after `newer_than`.
pub(super) async fn view(archive: &WalArchive, newer_than: TimeLine) -> Result<ArchiveView, Error> {
    let mut histories = BTreeMap::new();
    let listed = archive.timeline_histories().await?;
    for timeline in listed.keys().copied().filter(|timeline| *timeline > newer_than) {
        histories.insert(timeline, history(archive, timeline).await?);
    }
    let newest = archive.newest_by_timeline().await?;
    let archived = newest.iter().filter_map(|(id, (_, modified))| Some((*id, (*modified)?)));
    Ok(ArchiveView {
        histories,
        archived: archived.collect(),
        newest: newest.iter().map(|(id, (segment, _))| (*id, *segment)).collect(),
        begun: listed.into_iter().filter_map(|(id, modified)| Some((id, modified?))).collect(),
    })
}

pub(super) async fn history(
    archive: &WalArchive,
    timeline: TimeLine,
) -> Result<TimelineHistory, Error> {
    let found = archive.timeline_history(timeline).await?;
    found.ok_or_else(|| {
        let name = timeline.history_file_name();
        let what = format!("'{name}' was removed from the archive while it was read");
        Error::refused(ErrorCode::FileMissing, what, "try again")
    })
}

/// Refuses where a segment is missing without which the backup cannot become consistent.
pub(super) async fn check_needed(archive: &WalArchive, backup: &Manifest) -> Result<(), Error> {
    let missing = wal_needed::missing(archive, backup, NAMED_MAX + 1).await?;
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Error::refused(
            ErrorCode::FileMissing,
            format!(
                "backup {} cannot be recovered: WAL that it needs to become consistent is not in \
                 the archive '{}': {}",
                backup.label,
                archive.directory(),
                wal::names(&missing, NAMED_MAX)
            ),
            "restore another backup with --set, or push the files again if a server still has them",
        )),
    }
}

/// Looks for holes between the backup and the target; what comes back are warnings. A hole before an
/// LSN target is refused, because recovery could never get there.
pub(super) async fn check_onward(
    archive: &WalArchive,
    backup: &Manifest,
    target: &RecoveryTarget,
    decision: &TimelineDecision,
    view: &ArchiveView,
) -> Result<Vec<String>, Error> {
    if !target.goes_on() {
        return Ok(Vec::new());
    }
    let size = backup.cluster.wal_segment_size;
    let goal = match target {
        RecoveryTarget::Lsn(lsn) => Some(lsn.0 / size.bytes()),
        _ => None,
    };
    let mut warnings = Vec::new();
    let mut last = backup.wal_stop().number(size);
    let mut end = backup.wal_stop();
    for range in wal::onward(backup, &decision.history, view) {
        last = last.max(range.last.number(size));
        let missing = archive.missing(&[range], NAMED_MAX + 1).await?;
        let Some(first) = missing.first() else {
            end = range.last;
            continue;
        };
        if goal.is_some_and(|goal| first.number(size) <= goal) {
            return Err(hole_before_target(target, &missing));
        }
        if goal.is_none() {
            warnings.push(hole(first.start(size), target, &missing));
        }
    }
    if let RecoveryTarget::Lsn(lsn) = target
        && goal.is_some_and(|goal| goal > last)
    {
        warnings.push(too_short(*lsn, last, decision, size));
    }
    // Behind a hole it is not the end of the archive that counts, and the hole was named.
    if let RecoveryTarget::Time(time) = target
        && warnings.is_empty()
        && let Some(archived) = archive.archived_at(ArchiveFile::Segment(end)).await?
        && archived < time.0.as_second()
    {
        warnings.push(too_early(*time, end, archived));
    }
    Ok(warnings)
}

fn hole_before_target(target: &RecoveryTarget, missing: &[WalSegment]) -> Error {
    let lsn = match target {
        RecoveryTarget::Lsn(lsn) => lsn.to_string(),
        _ => "the target".to_owned(),
    };
    let names = wal::names(missing, NAMED_MAX);
    Error::refused(
        ErrorCode::FileMissing,
        format!("recovery cannot reach {lsn}: WAL before it is not in the archive: {names}"),
        "choose an earlier target, or a backup after the missing WAL with --set",
    )
}

fn hole(at: Lsn, target: &RecoveryTarget, missing: &[WalSegment]) -> String {
    let names = wal::names(missing, NAMED_MAX);
    let effect = match target {
        RecoveryTarget::Latest => "recovery will stop there and later changes will be lost",
        RecoveryTarget::Standby => "the standby will wait there",
        _ => "recovery will fail if the target is after it, which is not known before recovery",
    };
    format!("WAL is missing from the archive at {at}, {effect}; missing: {names}")
}

fn too_early(time: TargetTime, end: WalSegment, archived: i64) -> String {
    let archived = Timestamp::from_second(archived)
        .map_or_else(|_| "an unknown time".to_owned(), |time| TargetTime(time).to_string());
    format!(
        "the archive ends with {end}, archived at {archived}, before the target time {time}: \
         recovery will fail unless more WAL is archived first; choose a target before {archived}, \
         or no target to recover to the end"
    )
}

fn too_short(
    lsn: Lsn,
    last: u64,
    decision: &TimelineDecision,
    size: crate::types::WalSegmentSize,
) -> String {
    let newest = WalSegment::from_number(last, decision.history.timeline, size);
    format!(
        "the archive ends with {newest}, before the target {lsn}: recovery will fail unless more \
         WAL is archived first"
    )
}
