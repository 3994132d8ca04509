//! Holds a segment's header against its name and against the cluster it must come from.

use super::Error;
use crate::types::{ArchiveFile, Lsn, PgVersion, SystemId, TimeLine, WalSegment, WalSegmentSize};

/// What the long header at the start of a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentFacts {
    /// The cluster that wrote it.
    pub system_id: SystemId,
    /// The version that its magic number stands for.
    pub version: PgVersion,
    /// The size of the cluster's segments.
    pub segment_size: WalSegmentSize,
    /// The position of its first page.
    pub page_address: Lsn,
    /// The timeline of its first page.
    pub timeline: TimeLine,
}

/// Reads the header from the first [`HEADER_SIZE`] bytes, or says what is wrong with it.
pub type SegmentParser = fn(&[u8]) -> Result<SegmentFacts, String>;

/// Bytes at the start of a segment that are enough for a [`SegmentParser`].
pub(super) const HEADER_SIZE: usize = 512;

/// The cluster that WAL must come from.
#[derive(Clone, Copy, Debug)]
pub struct ClusterIdentity {
    /// Its system identifier.
    pub system_id: SystemId,
    /// Its major version.
    pub version: PgVersion,
    /// Reads a segment's header.
    pub parser: SegmentParser,
}

/// The segment whose header a file begins with; `None` for the files that have none.
pub(super) fn with_header(file: ArchiveFile) -> Option<WalSegment> {
    match file {
        ArchiveFile::Segment(segment) | ArchiveFile::Partial(segment) => Some(segment),
        ArchiveFile::History(_) | ArchiveFile::BackupHistory(..) => None,
    }
}

impl ClusterIdentity {
    /// Checks the start of `file`, which is `size` bytes long, against its name and this cluster.
    pub(super) fn check(
        &self,
        file: ArchiveFile,
        segment: WalSegment,
        start: &[u8],
        size: u64,
    ) -> Result<(), Error> {
        let content = |reason| Error::Content { file: file.to_string(), reason };
        let facts = (self.parser)(start).map_err(content)?;
        self.check_cluster(file, facts)?;
        check_name(segment, facts, size).map_or(Ok(()), |reason| Err(content(reason)))
    }

    fn check_cluster(&self, file: ArchiveFile, facts: SegmentFacts) -> Result<(), Error> {
        let name = |version, id| format!("PostgreSQL {version}, system identifier {id}");
        if (facts.version, facts.system_id) == (self.version, self.system_id) {
            return Ok(());
        }
        Err(Error::OtherCluster {
            file: file.to_string(),
            found: name(facts.version, facts.system_id),
            expected: name(self.version, self.system_id),
        })
    }
}

/// What does not fit together, where something does not.
fn check_name(segment: WalSegment, facts: SegmentFacts, size: u64) -> Option<String> {
    let segment_size = facts.segment_size;
    if size != segment_size.bytes() {
        let expected = segment_size.bytes();
        return Some(format!("it has {size} bytes, and its header says {expected}"));
    }
    if !segment.fits(segment_size) {
        return Some(format!("no segment of {size} bytes has this name"));
    }
    let expected = segment.start(segment_size);
    if facts.page_address != expected {
        let found = facts.page_address;
        return Some(format!("it begins at {found}, and its name says {expected}"));
    }
    // The first segment of a new timeline begins as a copy of the old one's, so an older timeline
    // in it is right (xlog.c, XLogInitNewTimeline); a newer one is not.
    if facts.timeline > segment.timeline || facts.timeline == TimeLine(0) {
        let (found, expected) = (facts.timeline, segment.timeline);
        return Some(format!("it is of timeline {found}, and its name says {expected}"));
    }
    None
}
