//! Timeline history files (`src/backend/access/transam/timeline.c`): the ancestors of a timeline, and on which of them
//! recovery reads each segment.

use super::{Invalid, Lsn, TimeLine, WalSegmentSize};

/// An ancestor timeline and its switch point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    pub timeline: TimeLine,
    /// The switch point: the next timeline begins here.
    pub end: Lsn,
    /// The reason of the switch, as written by the server.
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineHistory {
    pub timeline: TimeLine,
    /// Ancestors, oldest first. Empty for timeline 1, which has no history file.
    pub ancestors: Vec<HistoryEntry>,
}

/// The segments that recovery reads on one timeline of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimelineSegments {
    pub timeline: TimeLine,
    /// Number of the first segment.
    pub first: u64,
    /// Number of the segment after the last; `None` for the newest timeline.
    pub end: Option<u64>,
}

impl TimelineHistory {
    /// Maximum size of a history file in bytes. The server has no limit.
    pub const SIZE_MAX: usize = 16 << 20;

    pub fn without_ancestors(timeline: TimeLine) -> Self {
        Self { timeline, ancestors: Vec::new() }
    }

    /// Parses the history file of `timeline`.
    pub fn parse(timeline: TimeLine, bytes: &[u8]) -> Result<Self, Invalid> {
        let text = String::from_utf8_lossy(bytes);
        let lines = text.lines().map(str::trim_start);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let ancestors = lines.map(parse_line).collect::<Result<Vec<_>, _>>()?;
        let ids = || ancestors.iter().map(|a| a.timeline).chain([timeline]);
        if ids().zip(ids().skip(1)).any(|(earlier, later)| earlier >= later) {
            let name = timeline.history_file_name();
            return Err(Invalid::new("timeline history", &name, "its timelines do not ascend"));
        }
        Ok(Self { timeline, ancestors })
    }

    /// Whether the byte before `lsn` on `timeline` is part of this history, that is, whether recovery to this timeline
    /// can start from a backup that ended at `lsn`.
    pub fn holds(&self, timeline: TimeLine, lsn: Lsn) -> bool {
        timeline == self.timeline || self.end_of(timeline).is_some_and(|end| lsn <= end)
    }

    /// The switch point of an ancestor.
    pub fn end_of(&self, ancestor: TimeLine) -> Option<Lsn> {
        self.ancestors.iter().find(|a| a.timeline == ancestor).map(|a| a.end)
    }

    /// The timeline of the byte at `lsn`.
    pub fn timeline_at(&self, lsn: Lsn) -> TimeLine {
        self.ancestors.iter().find(|a| lsn < a.end).map_or(self.timeline, |a| a.timeline)
    }

    /// The segments of each timeline, oldest first. The segment with a switch point is read on the new timeline, which
    /// has a copy of its first part: the server requests a segment on the newest timeline that began in it or before
    /// (`XLogFileReadAnyTLI` in `xlogrecovery.c`). A timeline that begins and ends in one segment has none.
    pub fn segments(&self, size: WalSegmentSize) -> Vec<TimelineSegments> {
        let mut segments = Vec::with_capacity(self.ancestors.len() + 1);
        let (mut timeline, mut end) = (self.timeline, None);
        for ancestor in self.ancestors.iter().rev() {
            let first = ancestor.end.0 / size.bytes();
            segments.push(TimelineSegments { timeline, first, end });
            // If the positions do not ascend, the newer timeline wins.
            let next = end.map_or(first, |end: u64| end.min(first));
            (timeline, end) = (ancestor.timeline, Some(next));
        }
        segments.push(TimelineSegments { timeline, first: 0, end });
        segments.retain(|one| one.end.is_none_or(|end| one.first < end));
        segments.reverse();
        segments
    }
}

impl TimelineSegments {
    /// The first and last of these segments from `first` to `last`; `None` if there is none.
    pub fn within(&self, first: u64, last: u64) -> Option<(u64, u64)> {
        let first = first.max(self.first);
        let last = match self.end {
            Some(end) => last.min(end.checked_sub(1)?),
            None => last,
        };
        (first <= last).then_some((first, last))
    }
}

fn parse_line(line: &str) -> Result<HistoryEntry, Invalid> {
    let invalid = || {
        let reason = "a line is timeline, position and reason";
        Invalid::new("line of a timeline history", line, reason)
    };
    let (id, rest) = line.split_once(char::is_whitespace).ok_or_else(invalid)?;
    let rest = rest.trim_start();
    let (end, reason) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    Ok(HistoryEntry {
        timeline: TimeLine(id.parse().map_err(|_| invalid())?),
        end: end.parse().map_err(|_| invalid())?,
        reason: reason.trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const THREE: &[u8] = b"1\t0/3000000\tno recovery target specified\n\n\
        2\t0/5000000\tafter LSN 0/4FFFF00\n# a comment\n";

    fn segments(timeline: u32, text: &str) -> Vec<(u32, u64, Option<u64>)> {
        let history = TimelineHistory::parse(TimeLine(timeline), text.as_bytes()).unwrap();
        let segments = history.segments(WalSegmentSize::DEFAULT);
        segments.into_iter().map(|one| (one.timeline.0, one.first, one.end)).collect()
    }

    #[test]
    fn ancestors_and_their_ends() {
        let history = TimelineHistory::parse(TimeLine(3), THREE).unwrap();
        assert_eq!(history.ancestors.len(), 2);
        assert_eq!(history.ancestors[1].reason, "after LSN 0/4FFFF00");
        assert_eq!(history.end_of(TimeLine(1)), Some(Lsn(0x300_0000)));
        assert!(history.holds(TimeLine(1), Lsn(0x300_0000)));
        assert!(!history.holds(TimeLine(1), Lsn(0x300_0001)));
        assert!(!history.holds(TimeLine(4), Lsn(1)));
        assert_eq!(history.timeline_at(Lsn(0x2FF_FFFF)), TimeLine(1));
        assert_eq!(history.timeline_at(Lsn(0x300_0000)), TimeLine(2));
        assert_eq!(history.timeline_at(Lsn(u64::MAX)), TimeLine(3));
    }

    #[test]
    fn the_segment_of_the_fork_is_that_of_the_newer_timeline() {
        assert_eq!(segments(1, ""), [(1, 0, None)]);
        assert_eq!(segments(2, "1\t0/5000100\tx\n"), [(1, 0, Some(5)), (2, 5, None)]);
        // Timeline 1 has no segment 5: its switch point is the end of segment 4.
        assert_eq!(segments(2, "1\t0/5000000\tx\n"), [(1, 0, Some(5)), (2, 5, None)]);
        assert_eq!(segments(2, "1\t0/28\tx\n"), [(2, 0, None)]);
        assert_eq!(
            segments(3, "1\t0/5000100\tx\n2\t0/8000000\tx\n"),
            [(1, 0, Some(5)), (2, 5, Some(8)), (3, 8, None)]
        );
        assert_eq!(
            segments(3, "1\t0/5000100\tx\n2\t0/5000200\tx\n"),
            [(1, 0, Some(5)), (3, 5, None)]
        );
        // Not in order: the newest wins, as in the server.
        assert_eq!(
            segments(3, "1\t0/8000000\tx\n2\t0/5000000\tx\n"),
            [(1, 0, Some(5)), (3, 5, None)]
        );
    }

    #[test]
    fn disorder_is_refused() {
        assert!(TimelineHistory::parse(TimeLine(2), THREE).is_err());
        for text in ["2\t0/1\n1\t0/2\n", "1\n", "x\t0/1\n", "1 x"] {
            assert!(TimelineHistory::parse(TimeLine(9), text.as_bytes()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(history) = TimelineHistory::parse(TimeLine(9), &bytes) {
                history.segments(WalSegmentSize::DEFAULT);
            }
        }

        /// The rule of the server: the newest timeline whose first segment is not later.
        #[test]
        fn every_segment_is_on_the_timeline_that_the_server_tries_first(
            ends in proptest::collection::vec(0_u64..20 << 24, 0..5),
            number in 0_u64..24,
        ) {
            let size = WalSegmentSize::DEFAULT;
            let entry = |(at, end): (usize, &u64)| HistoryEntry {
                timeline: TimeLine(at as u32 + 1),
                end: Lsn(*end),
                reason: String::new(),
            };
            let ancestors: Vec<_> = ends.iter().enumerate().map(entry).collect();
            let begun = |at: usize| at == 0 || ends[at - 1] / size.bytes() <= number;
            let expected = (0..=ends.len()).rev().find(|at| begun(*at)).unwrap() as u32 + 1;
            let history = TimelineHistory { timeline: TimeLine(ends.len() as u32 + 1), ancestors };
            let segments = history.segments(size).into_iter();
            let found: Vec<_> = segments.filter(|one| one.within(number, number).is_some()).collect();
            prop_assert_eq!(found.len(), 1);
            prop_assert_eq!(found[0].timeline, TimeLine(expected));
        }
    }
}
