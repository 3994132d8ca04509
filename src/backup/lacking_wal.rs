//! The WAL that a backup waits for, as an error names it.

use std::fmt;

use crate::types::{ArchiveFile, TimeLine, WalSegment};

/// The WAL that a backup still waits for.
#[derive(Debug)]
pub enum LackingWal {
    /// Segments, the first few of them.
    Segments(Vec<WalSegment>),
    /// The backup history file.
    BackupHistory(ArchiveFile),
    /// The history file of the timeline on which the backup stopped.
    TimelineHistory(TimeLine),
    /// The archiver gets no further than this file.
    Archiver(String),
}

impl fmt::Display for LackingWal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segments(missing) => {
                let names: Vec<String> = missing.iter().map(WalSegment::to_string).collect();
                let noun = if names.len() == 1 { "segment" } else { "segments" };
                write!(f, "WAL {noun} {} was not archived", names.join(", "))
            }
            Self::BackupHistory(file) => write!(
                f,
                "backup history file {file}, which proves that the WAL in the archive is from this \
                 server, was not archived"
            ),
            Self::TimelineHistory(timeline) => write!(
                f,
                "timeline history file {}, which recovery needs to find the WAL of this backup, \
                 was not archived",
                timeline.history_file_name()
            ),
            Self::Archiver(file) => write!(f, "{file} was not archived"),
        }
    }
}
