//! Checks a segment's header against its name and its cluster.

use super::Error;
use crate::{
    postgres::WalHeader,
    types::{ArchiveFile, PgVersion, SystemId, WalSegment},
};

/// The expected cluster of WAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterIdentity {
    pub system_id: SystemId,
    pub version: PgVersion,
}

/// The segment whose header the file begins with; `None` for files without one.
pub(super) fn with_header(file: ArchiveFile) -> Option<WalSegment> {
    match file {
        ArchiveFile::Segment(segment) | ArchiveFile::Partial(segment) => Some(segment),
        ArchiveFile::History(_) | ArchiveFile::BackupHistory(..) => None,
    }
}

impl ClusterIdentity {
    /// Checks the first bytes of `file`, of `size` bytes, against its name and this cluster.
    pub(super) fn check(
        &self,
        file: ArchiveFile,
        segment: WalSegment,
        start: &[u8],
        size: u64,
    ) -> Result<(), Error> {
        let content = |reason| Error::Content { file: file.to_string(), reason };
        let header = WalHeader::check(start).map_err(|e| content(e.to_string()))?;
        self.check_cluster(file, &header)?;
        let expected = header.segment_size.bytes();
        if size != expected {
            return Err(content(format!("it has {size} bytes, but its header says {expected}")));
        }
        header.check_name(segment).map_err(|e| content(e.to_string()))
    }

    fn check_cluster(&self, file: ArchiveFile, header: &WalHeader) -> Result<(), Error> {
        let name = |version, id| format!("PostgreSQL {version}, system identifier {id}");
        if (header.version, header.system_id) == (self.version, self.system_id) {
            return Ok(());
        }
        Err(Error::OtherCluster {
            file: file.to_string(),
            found: name(header.version, header.system_id),
            expected: name(self.version, self.system_id),
        })
    }
}
