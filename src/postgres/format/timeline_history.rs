//! `.history` files: through which timelines a timeline came about (`src/backend/access/transam/timeline.c`).

use crate::{
    postgres::{Error, Result},
    types::{Lsn, TimeLine},
};

const FILE: &str = "timeline history";

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

impl TimelineHistory {
    /// The history of a timeline without ancestors.
    pub fn without_ancestors(timeline: TimeLine) -> Self {
        Self { timeline, ancestors: Vec::new() }
    }

    /// Parses the history file of `timeline`.
    pub fn parse(timeline: TimeLine, bytes: &[u8]) -> Result<Self> {
        let text = String::from_utf8_lossy(bytes);
        let lines = text.lines().map(str::trim_start);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let ancestors = lines.map(parse_line).collect::<Result<Vec<_>>>()?;
        let ids = || ancestors.iter().map(|a| a.timeline).chain([timeline]);
        if ids().zip(ids().skip(1)).any(|(earlier, later)| earlier >= later) {
            return Err(Error::format(
                FILE,
                format!("the timelines before {timeline} do not ascend"),
            ));
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
}

fn parse_line(line: &str) -> Result<HistoryEntry> {
    let invalid = || {
        Error::format(
            FILE,
            format!("the line '{}' is not timeline, position, reason", line.escape_debug()),
        )
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
    fn disorder_is_refused() {
        assert!(TimelineHistory::parse(TimeLine(2), THREE).is_err());
        for text in ["2\t0/1\n1\t0/2\n", "1\n", "x\t0/1\n", "1 x"] {
            assert!(TimelineHistory::parse(TimeLine(9), text.as_bytes()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = TimelineHistory::parse(TimeLine(9), &bytes);
        }
    }
}
