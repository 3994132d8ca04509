//! Which WAL a recovery reads: what it must have to become consistent, and what leads on from there
//! along the timelines to the target.

use super::timeline::ArchiveView;
use crate::{
    postgres::TimelineHistory,
    repo::{archive::SegmentRange, manifest::Manifest},
    types::{TimeLine, WalSegment},
};

/// The segments behind the backup's end that lead along `history` to the newest there is, a range for
/// each timeline. From the segment in which a timeline was left on, its successor's copy is read.
pub fn onward(
    backup: &Manifest,
    history: &TimelineHistory,
    view: &ArchiveView,
) -> Vec<SegmentRange> {
    let size = backup.cluster.wal_segment_size;
    let mut first = backup.wal_stop().number(size) + 1;
    let mut ranges = Vec::new();
    let stops = backup.wal.stop.timeline;
    let path = history.ancestors.iter().map(|entry| (entry.timeline, Some(entry.end)));
    let path =
        path.chain([(history.timeline, None)]).skip_while(|(timeline, _)| *timeline != stops);
    for (timeline, left_at) in path {
        let newest = view.newest.get(&timeline).map(|segment| segment.number(size));
        let goes_on = || {
            let later = |(other, _): (&TimeLine, _)| *other > timeline && is_on(history, *other);
            view.newest.iter().any(later)
        };
        let last = match left_at.map(|lsn| lsn.0 / size.bytes()) {
            // What lies before the fork is needed whether there is newer WAL of this timeline or not.
            Some(fork) if goes_on() => fork.checked_sub(1),
            Some(fork) => newest.map(|newest| newest.min(fork)),
            None => newest,
        };
        if let Some(last) = last.filter(|last| *last >= first) {
            let on = |number| WalSegment::from_number(number, timeline, size);
            ranges.push(SegmentRange { first: on(first), last: on(last), size });
        }
        first = match left_at {
            Some(lsn) => first.max(lsn.0 / size.bytes()),
            None => first,
        };
    }
    ranges
}

fn is_on(history: &TimelineHistory, timeline: TimeLine) -> bool {
    timeline == history.timeline || history.end_of(timeline).is_some()
}

/// Names as a sentence has them.
pub fn names(segments: &[WalSegment], limit: usize) -> String {
    let shown: Vec<String> = segments.iter().take(limit).map(WalSegment::to_string).collect();
    let more = if segments.len() > limit { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        restore::tests::repository::manifest,
        types::{Lsn, WalSegmentSize},
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
