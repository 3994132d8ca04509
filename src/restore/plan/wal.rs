//! Which WAL a recovery reads: what it must have to become consistent, and what leads on from there
//! along the timelines to the target.

use std::fmt;

use super::timeline::ArchiveView;
use crate::{
    repo::{archive::SegmentRange, manifest::Manifest},
    types::{TimelineHistory, WalSegment},
};

/// The segments behind the backup's end that lead along `history` to the newest there is, a range for
/// each timeline. From the segment in which a timeline was left on, its successor's copy is read.
pub fn onward(
    backup: &Manifest,
    history: &TimelineHistory,
    view: &ArchiveView,
) -> Vec<SegmentRange> {
    let size = backup.cluster.wal_segment_size;
    let first = backup.wal_stop().number(size) + 1;
    let Some((followed, newest)) = followed(backup, history, view) else { return Vec::new() };
    SegmentRange::along(&followed, first, newest.number(size), size)
}

/// The history up to the newest timeline with WAL in the archive, and the newest segment of that timeline. While a timeline
/// has no WAL yet, recovery reads its parent's, up to the segment that holds the switch point.
fn followed(
    backup: &Manifest,
    history: &TimelineHistory,
    view: &ArchiveView,
) -> Option<(TimelineHistory, WalSegment)> {
    let size = backup.cluster.wal_segment_size;
    let stop = backup.wal.stop.timeline;
    let behind = history.ancestors.iter().skip_while(|entry| entry.timeline != stop);
    let mut ancestors: Vec<_> = behind.cloned().collect();
    if ancestors.is_empty() && history.timeline != stop {
        return None;
    }
    let (mut timeline, mut fork) = (history.timeline, None);
    loop {
        if let Some(newest) = view.newest.get(&timeline) {
            let last = fork.map_or(*newest, |fork: WalSegment| fork.min(*newest));
            return Some((TimelineHistory { timeline, ancestors }, last));
        }
        let parent = ancestors.pop()?;
        timeline = parent.timeline;
        fork = Some(WalSegment::containing(parent.end, timeline, size));
    }
}

/// Names as a sentence has them.
pub fn names(files: &[impl fmt::Display], limit: usize) -> String {
    let shown: Vec<String> = files.iter().take(limit).map(ToString::to_string).collect();
    let more = if files.len() > limit { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        restore::tests::repository::manifest,
        types::{Lsn, TimeLine, WalSegmentSize},
    };

    const SIZE: WalSegmentSize = WalSegmentSize::DEFAULT;

    fn shown(history: &TimelineHistory, newest: &[(u32, u64)]) -> Vec<String> {
        let backup = manifest("20261121-092452F", TimeLine(1), Lsn(0x200_0028), Lsn(0x200_0100), 0);
        let segment =
            |&(id, number): &(u32, u64)| WalSegment::from_number(number, TimeLine(id), SIZE);
        let newest = newest.iter().map(|entry| (TimeLine(entry.0), segment(entry))).collect();
        let view = ArchiveView { newest, ..ArchiveView::default() };
        let show = |range: &SegmentRange| {
            let (first, last) = (range.first.number(SIZE), range.last.number(SIZE));
            format!("{}: {first}..={last}", range.first.timeline)
        };
        onward(&backup, history, &view).iter().map(show).collect()
    }

    #[test]
    fn one_timeline() {
        let history = TimelineHistory::without_ancestors(TimeLine(1));
        assert_eq!(shown(&history, &[(1, 9)]), ["1: 3..=9"]);
        assert!(shown(&history, &[(1, 2)]).is_empty(), "nothing behind the backup");
        assert!(shown(&history, &[]).is_empty());
    }

    #[test]
    fn the_copy_of_the_successor_is_read_from_the_fork_on() {
        let text = b"1\t0/5000100\tx\n2\t0/8000000\tx\n";
        let history = TimelineHistory::parse(TimeLine(3), text).unwrap();
        assert_eq!(
            shown(&history, &[(1, 30), (2, 8), (3, 11)]),
            ["1: 3..=4", "2: 5..=7", "3: 8..=11"]
        );
        assert_eq!(shown(&history, &[(1, 4), (3, 11)]), ["1: 3..=4", "2: 5..=7", "3: 8..=11"]);
        // No WAL behind the fork yet: what there is of the old timeline is all there is to read.
        assert_eq!(shown(&history, &[(1, 30)]), ["1: 3..=5"]);
        assert_eq!(shown(&history, &[(1, 4)]), ["1: 3..=4"]);
        assert_eq!(shown(&history, &[(2, 6)]), ["1: 3..=4", "2: 5..=6"]);
    }

    #[test]
    fn a_fork_in_the_last_segment_of_the_backup() {
        let history = TimelineHistory::parse(TimeLine(2), b"1\t0/2000200\tx\n").unwrap();
        assert_eq!(shown(&history, &[(1, 2), (2, 4)]), ["2: 3..=4"]);
    }
}
