//! The WAL that a backup needs to become consistent, and what of it is missing in an archive.
//!
//! A backup starts and stops on one timeline, unless it is taken from a standby whose upstream server is promoted
//! meanwhile. Then the history of the stop timeline determines the timeline of each segment, and recovery needs the
//! history file too.

use super::{
    Error,
    archive::{SegmentRange, WalArchive},
    manifest::{Manifest, Span, WalPosition},
};
use crate::types::{ArchiveFile, TimeLine, TimelineHistory, WalSegment, WalSegmentSize};

/// The timeline whose history determines the segments that the backup needs; `None` if all are on one timeline.
pub fn history_of(wal: Span<WalPosition>) -> Option<TimeLine> {
    (wal.start.timeline != wal.stop.timeline).then_some(wal.stop.timeline)
}

/// The segments from the one with the start to the one with the last byte before the stop, a range per timeline.
/// `history` is ignored unless [`history_of`] returns its timeline. [`Error::OtherHistory`] if it does not contain the
/// start.
pub fn segments(
    wal: Span<WalPosition>,
    history: &TimelineHistory,
    size: WalSegmentSize,
) -> Result<Vec<SegmentRange>, Error> {
    let Span { start, stop } = wal;
    let own;
    let history = match history_of(wal) {
        None => {
            own = TimelineHistory::without_ancestors(stop.timeline);
            &own
        }
        Some(_) if !leads_back(history, wal) => return Err(Error::OtherHistory { wal }),
        Some(_) => history,
    };
    let first = WalSegment::containing(start.lsn, start.timeline, size).number(size);
    let last = WalSegment::ending_at(stop.lsn, stop.timeline, size).number(size);
    Ok(SegmentRange::along(history, first, last, size))
}

fn leads_back(history: &TimelineHistory, wal: Span<WalPosition>) -> bool {
    let Span { start, stop } = wal;
    history.timeline == stop.timeline
        && history.timeline_at(start.lsn) == start.timeline
        // The stop is the end of a record.
        && history.ancestors.last().is_some_and(|parent| parent.end < stop.lsn)
}

/// The first `limit` files of the WAL that a backup needs that are missing in the archive. If the history file is
/// missing, only that is returned, because the segments are unknown then.
pub async fn missing(
    archive: &WalArchive,
    backup: &Manifest,
    limit: usize,
) -> Result<Vec<ArchiveFile>, Error> {
    let history = match history_of(backup.wal) {
        None => TimelineHistory::without_ancestors(backup.wal.stop.timeline),
        Some(timeline) => match archive.timeline_history(timeline).await? {
            Some(history) => history,
            None => return Ok(vec![ArchiveFile::History(timeline)]),
        },
    };
    let needed = segments(backup.wal, &history, backup.cluster.wal_segment_size)?;
    let missing = archive.missing(&needed, limit).await?;
    Ok(missing.into_iter().map(ArchiveFile::Segment).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Failure, Lsn};

    const SIZE: WalSegmentSize = WalSegmentSize::DEFAULT;

    fn span(start: (u32, u64), stop: (u32, u64)) -> Span<WalPosition> {
        let position =
            |(id, lsn): (u32, u64)| WalPosition { lsn: Lsn(lsn), timeline: TimeLine(id) };
        Span { start: position(start), stop: position(stop) }
    }

    fn needed(wal: Span<WalPosition>, history: &str) -> Result<Vec<String>, Error> {
        let history = TimelineHistory::parse(wal.stop.timeline, history.as_bytes()).unwrap();
        let shown = |range: SegmentRange| {
            let (first, last) = (range.first.number(SIZE), range.last.number(SIZE));
            format!("{}: {first}..={last}", range.first.timeline)
        };
        Ok(segments(wal, &history, SIZE)?.into_iter().map(shown).collect())
    }

    #[test]
    fn a_backup_on_one_timeline_needs_no_history() {
        let wal = span((2, 0x200_0028), (2, 0x400_0000));
        assert_eq!(history_of(wal), None);
        assert_eq!(needed(wal, "").unwrap(), ["2: 2..=3"]);
        // Whatever another server of the same timeline left there.
        assert_eq!(needed(wal, "1\t0/9000000\tx\n").unwrap(), ["2: 2..=3"]);
    }

    #[test]
    fn the_segment_of_the_promotion_is_needed_on_the_new_timeline() {
        let wal = span((1, 0x200_0028), (2, 0x500_0100));
        assert_eq!(history_of(wal), Some(TimeLine(2)));
        assert_eq!(needed(wal, "1\t0/4000100\tx\n").unwrap(), ["1: 2..=3", "2: 4..=5"]);
        // At the end of a segment nothing of the next one was written on the old timeline.
        assert_eq!(needed(wal, "1\t0/4000000\tx\n").unwrap(), ["1: 2..=3", "2: 4..=5"]);
        assert_eq!(needed(wal, "1\t0/5000080\tx\n").unwrap(), ["1: 2..=4", "2: 5..=5"]);
        assert_eq!(needed(wal, "1\t0/2000100\tx\n").unwrap(), ["2: 2..=5"]);
    }

    #[test]
    fn two_promotions_in_one_backup() {
        let wal = span((1, 0x200_0028), (3, 0x600_0100));
        let found = needed(wal, "1\t0/3000100\tx\n2\t0/5000100\tx\n").unwrap();
        assert_eq!(found, ["1: 2..=2", "2: 3..=4", "3: 5..=6"]);
        let found = needed(wal, "1\t0/3000100\tx\n2\t0/3000200\tx\n").unwrap();
        assert_eq!(found, ["1: 2..=2", "3: 3..=6"]);
    }

    #[test]
    fn a_history_that_does_not_lead_back_to_the_start_is_refused() {
        let wal = span((1, 0x200_0028), (2, 0x500_0100));
        for other in ["", "1\t0/1000000\tx\n", "1\t0/5000100\tx\n", "1\t0/9000000\tx\n"] {
            let error = needed(wal, other).unwrap_err();
            assert_eq!(error.code(), crate::types::ErrorCode::ArchiveMismatch, "{other}");
            assert!(error.is_damage());
        }
        insta::assert_snapshot!(needed(wal, "").unwrap_err(), @"'00000002.history' is not the history of the backup's WAL: it does not lead from 0/2000028 on timeline 1 to 0/5000100 on timeline 2");
    }
}
