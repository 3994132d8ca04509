//! Selects the WAL of an archive to copy.

use crate::{
    repo::retention::wal::NeededWal,
    types::{ArchiveFile, TimeLine, WalSegment},
};

/// Timeline history files are always copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalRule {
    All,
    /// The WAL that the target's retention keeps.
    Needed(NeededWal),
    /// Only the WAL from start to stop of these backups.
    Spans(Vec<(WalSegment, WalSegment)>),
}

impl WalRule {
    pub fn wants(&self, file: ArchiveFile) -> bool {
        let Some(segment) = file.segment() else { return true };
        let position = |segment: WalSegment| segment.on(TimeLine(0));
        let within = |(start, stop): &(WalSegment, WalSegment)| {
            (start.timeline..=stop.timeline).contains(&segment.timeline)
                && (position(*start)..=position(*stop)).contains(&position(segment))
        };
        match self {
            Self::All => true,
            Self::Needed(needed) => needed.keeps(segment),
            Self::Spans(spans) => spans.iter().any(within),
        }
    }
}
