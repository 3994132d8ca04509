//! The history of a timeline, `<timeline>.history`: through which timelines it came about
//! (`src/backend/access/transam/timeline.c`), and so which segment holds which WAL.

use super::{Invalid, Lsn, TimeLine, WalSegmentSize};

/// One ancestor, and where it was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The ancestor.
    pub timeline: TimeLine,
    /// The position at which the next timeline begins.
    pub end: Lsn,
    /// Why it was left, as the server wrote it.
    pub reason: String,
}

/// The ancestry of a timeline, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineHistory {
    /// The timeline itself.
    pub timeline: TimeLine,
    /// Its ancestors, oldest first; none for the first timeline, which has no file.
    pub ancestors: Vec<HistoryEntry>,
}

/// The segments that recovery reads from one of the timelines of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimelineSegments {
    /// The timeline.
    pub timeline: TimeLine,
    /// The number of the first segment.
    pub first: u64,
    /// The number of the segment behind the last; `None` for the timeline that was not left.
    pub end: Option<u64>,
}

impl TimelineHistory {
    /// The greatest history file that is read, in bytes. The server itself reads it line by line.
    pub const SIZE_MAX: usize = 16 << 20;

    /// The history of a timeline without ancestors.
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

    /// Whether the byte before `lsn` on `timeline` is part of this history: whether recovery to this
    /// timeline can start from a backup that ended there.
    pub fn holds(&self, timeline: TimeLine, lsn: Lsn) -> bool {
        timeline == self.timeline || self.end_of(timeline).is_some_and(|end| lsn <= end)
    }

    /// Where an ancestor was left.
    pub fn end_of(&self, ancestor: TimeLine) -> Option<Lsn> {
        self.ancestors.iter().find(|a| a.timeline == ancestor).map(|a| a.end)
    }

    /// The timeline that the byte at `lsn` is on.
    pub fn timeline_at(&self, lsn: Lsn) -> TimeLine {
        self.ancestors.iter().find(|a| lsn < a.end).map_or(self.timeline, |a| a.timeline)
    }

    /// Which segments are read from which timeline, oldest first. The segment in which a timeline was left
    /// is read from its successor, which copied it up to there: the server looks for a segment on the newest
    /// timeline that had begun in it or before (`XLogFileReadAnyTLI` in `xlogrecovery.c`). A timeline that was
    /// left in the segment in which it began has none.
    pub fn segments(&self, size: WalSegmentSize) -> Vec<TimelineSegments> {
        let mut segments = Vec::with_capacity(self.ancestors.len() + 1);
        let (mut timeline, mut end) = (self.timeline, None);
        for ancestor in self.ancestors.iter().rev() {
            let first = ancestor.end.0 / size.bytes();
            segments.push(TimelineSegments { timeline, first, end });
            // A newer timeline counts, should the positions not ascend.
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
    /// The first and the last of these segments among those from `first` to `last`; `None` where there is none.
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
        // Timeline 1 has no segment 5: it was left at the end of segment 4.
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
        // Not in order: the newest counts, as for the server.
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

        /// The rule of the server, word for word: the newest timeline whose first segment is not behind.
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
