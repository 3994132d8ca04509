//! Reads a file of the archive to verify what [`get`](super::get) would deliver.

use super::{
    Error,
    segment::{ClusterIdentity, with_header},
};
use crate::{
    postgres::WalHeader,
    repo::archive::{RawSink, StoredWal, WalArchive},
    storage::Download,
    types::{ArchiveFile, TimelineHistory},
};

/// Verifies a stored file: its content by the SHA-256 in its name, and its name and cluster by its header. Returns the
/// number of uncompressed bytes.
pub async fn verify(
    archive: &WalArchive,
    stored: &StoredWal,
    cluster: ClusterIdentity,
) -> Result<u64, Error> {
    let download = archive.open(stored).await?;
    verify_from(archive, stored, download, cluster).await
}

/// The same, from a download of the file's object.
pub async fn verify_from(
    archive: &WalArchive,
    stored: &StoredWal,
    download: Box<dyn Download>,
    cluster: ClusterIdentity,
) -> Result<u64, Error> {
    let kept_max = match stored.file {
        ArchiveFile::History(_) => TimelineHistory::SIZE_MAX,
        ArchiveFile::Segment(_) | ArchiveFile::Partial(_) => WalHeader::LENGTH,
        ArchiveFile::BackupHistory(..) => 0,
    };
    let sink = VerifySink { kept: Vec::new(), kept_max, size: 0 };
    let sink = archive.read_from(stored, download, sink).await?;
    sink.check(stored.file, cluster)?;
    Ok(sink.size)
}

/// The first bytes of a file, and its size.
struct VerifySink {
    kept: Vec<u8>,
    kept_max: usize,
    size: u64,
}

impl VerifySink {
    fn check(&self, file: ArchiveFile, cluster: ClusterIdentity) -> Result<(), Error> {
        let content = |reason| Error::Content { file: file.to_string(), reason };
        if let Some(segment) = with_header(file) {
            return cluster.check(file, segment, &self.kept, self.size);
        }
        match file {
            ArchiveFile::History(_) if self.size > TimelineHistory::SIZE_MAX as u64 => {
                Err(content("it is too large for a history file".to_owned()))
            }
            ArchiveFile::History(timeline) => TimelineHistory::parse(timeline, &self.kept)
                .map(drop)
                .map_err(|error| content(error.to_string())),
            _ => Ok(()),
        }
    }
}

impl RawSink for VerifySink {
    type Error = Error;

    fn accept(&mut self, raw: &[u8]) -> Result<(), Error> {
        let wanted = self.kept_max.saturating_sub(self.kept.len()).min(raw.len());
        self.kept.extend_from_slice(&raw[..wanted]);
        self.size += raw.len() as u64;
        Ok(())
    }
}
