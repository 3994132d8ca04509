//! Decides what is read of each file: pure, from what was found in the data directory, what the prior
//! backup has, and what tells that something has not changed.

use std::{ops::Range, sync::Arc};

use super::super::{PriorFiles, SourceHints};
use crate::{
    postgres::{self, ChangedBlocks, FileChanges, ScannedEntry, ScannedKind},
    types::DataPath,
};

/// The clock of a file system may be so much behind the one that tells the time, in seconds: times of
/// files come from its last tick, and that may be in the second before.
const CLOCK_SLACK_S: i64 = 1;

/// What is read of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// All of it.
    Whole,
    /// Nothing: it is what the prior backup has.
    Nothing,
    /// These pages, ascending and apart from each other; the others are those of the prior backup.
    Pages(Vec<Range<u32>>),
}

/// Bytes of a file that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileRange {
    /// Number of bytes to read.
    Read(u64),
    /// Number of bytes that equal those of the prior backup.
    Unchanged(u64),
}

impl Reading {
    /// The ranges of a file of `size` bytes, in their order.
    pub(super) fn ranges(&self, size: u64, page_size: u32) -> Vec<FileRange> {
        let bytes = |page: u32| (u64::from(page) * u64::from(page_size)).min(size);
        let mut ranges = Vec::new();
        let mut at = 0;
        let mut push = |to: u64, range: fn(u64) -> FileRange| {
            if to > at {
                ranges.push(range(to - at));
                at = to;
            }
        };
        match self {
            Self::Whole => push(size, FileRange::Read),
            Self::Nothing => push(size, FileRange::Unchanged),
            Self::Pages(pages) => {
                for range in pages {
                    push(bytes(range.start), FileRange::Unchanged);
                    push(bytes(range.end), FileRange::Read);
                }
                push(size, FileRange::Unchanged);
            }
        }
        ranges
    }
}

/// Decides for one file after the other.
pub(super) struct Planner {
    page_size: u32,
    prior: Option<PriorState>,
}

/// The prior backup, and what is known of the changes since.
struct PriorState {
    files: Arc<dyn PriorFiles>,
    changes: KnownChanges,
}

/// What is known of the changes since the prior backup.
pub(super) enum KnownChanges {
    /// The server's WAL summaries.
    Summaries(ChangedBlocks),
    /// Files that are as long as they were and were last written in the same second, before this one
    /// (seconds since 1970), have not changed.
    Times {
        /// The second.
        before: i64,
    },
}

impl Planner {
    /// A planner for a backup that stands alone.
    pub(super) fn full(page_size: u32) -> Self {
        Self { page_size, prior: None }
    }

    /// A planner for what has changed since a prior backup.
    pub(super) fn new(page_size: u32, files: Arc<dyn PriorFiles>, changes: KnownChanges) -> Self {
        Self { page_size, prior: Some(PriorState { files, changes }) }
    }

    /// What is to be read of a file of `size` bytes, last written at `modified`.
    pub(super) fn reading(&self, path: &DataPath, size: u64, modified: i64) -> Reading {
        let Some(PriorState { files, changes }) = &self.prior else { return Reading::Whole };
        let Some(prior) = files.file(path).filter(|_| size > 0) else { return Reading::Whole };
        match changes {
            KnownChanges::Times { before } => {
                let same = size == prior.size && modified == prior.modified && modified < *before;
                if same { Reading::Nothing } else { Reading::Whole }
            }
            KnownChanges::Summaries(changed) => {
                match changed.of(path, size, prior.size, self.page_size) {
                    FileChanges::All => Reading::Whole,
                    FileChanges::Ranges(pages) if pages.is_empty() && size == prior.size => {
                        Reading::Nothing
                    }
                    FileChanges::Ranges(pages) => Reading::Pages(pages),
                }
            }
        }
    }
}

/// The last second (since 1970, exclusive) whose times can be relied on, where the copying of the prior
/// backup began at `since_us`; or why times cannot be relied on at all. `now` is the time after the scan.
///
/// Every rule is about a clock that went back, which could give a file that has changed the time it had.
pub(super) fn times_before(
    entries: &[ScannedEntry],
    hints: &SourceHints,
    since_us: i64,
    now: i64,
) -> Result<i64, String> {
    let since = since_us.div_euclid(1_000_000);
    if now < since {
        return Err("the clock is before the prior backup".to_owned());
    }
    let files = entries.iter().filter_map(|entry| match entry.kind {
        ScannedKind::File { size } => Some((entry, size)),
        _ => None,
    });
    for (ScannedEntry { path, modified, .. }, size) in files {
        if *modified > now + CLOCK_SLACK_S {
            return Err(format!("'{path}' has a modification time in the future"));
        }
        let Some(before) = hints.files.file(path) else { continue };
        if *modified < before.modified {
            return Err(format!(
                "'{path}' has an earlier modification time than in the prior backup"
            ));
        }
        if *modified == before.modified && size != before.size && *modified < since {
            return Err(format!("'{path}' has another size but the same modification time"));
        }
    }
    Ok(since - CLOCK_SLACK_S)
}

/// Whether a file is one that workers may read when they come to it: a relation, whose bytes WAL mends
/// whatever happens to it during the backup. What other files were when they began is what counts.
pub(super) fn is_deferrable(path: &DataPath) -> bool {
    postgres::is_checked_file(path).is_some()
}
