//! Gets a file from the archive, for PostgreSQL's `restore_command`.
//!
//! PostgreSQL interprets a missing file as the end of the WAL. Therefore only two results are not errors: the file was
//! delivered and verified completely, or it is proven to be absent.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::{
    Error,
    segment::{ClusterIdentity, with_header},
};
use crate::{
    postgres::WalHeader,
    repo::archive::{RawSink, StoredWal, WalArchive},
    storage::crash_safe::{self, Existing, PendingFile},
    types::ArchiveFile,
};

#[derive(Clone, Copy, Debug)]
pub struct GetOptions {
    /// The cluster of the segments; `None` to skip the check of their headers.
    pub cluster: Option<ClusterIdentity>,
    /// Whether the file must survive a power failure. `restore_command` does not need it: after a crash PostgreSQL
    /// removes the file and requests it again, and it syncs a file that it keeps itself (`xlogarchive.c`,
    /// RestoreArchivedFile and KeepFileRestoredFromArchive).
    pub durable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetOutcome {
    /// The file is at the destination and verified.
    Delivered,
    /// The archive was listed and does not have the file.
    Absent,
}

/// The mode of PostgreSQL's WAL files.
const FILE_MODE: u32 = 0o600;

/// Writes `file` to `destination` and replaces an existing file. On an error, or if the file is absent, the
/// destination is unchanged.
pub async fn get(
    archive: &WalArchive,
    file: ArchiveFile,
    destination: &Path,
    options: GetOptions,
) -> Result<GetOutcome, Error> {
    let Some(stored) = archive.find(file).await? else { return Ok(GetOutcome::Absent) };
    deliver(archive, &stored, destination, options).await?;
    Ok(GetOutcome::Delivered)
}

/// Writes a found file to `destination` and replaces an existing file. On an error the destination is unchanged.
pub async fn deliver(
    archive: &WalArchive,
    stored: &StoredWal,
    destination: &Path,
    options: GetOptions,
) -> Result<(), Error> {
    let delivery = Delivery::begin(stored.file, destination, options)?;
    // Blocks for a rename, and for a durable file an fsync, which is allowed because this process does nothing else
    // meanwhile.
    archive.read(stored, delivery).await?.finish()
}

/// A temporary file in the directory of the destination.
struct Delivery {
    file: ArchiveFile,
    options: GetOptions,
    destination: PathBuf,
    name: OsString,
    pending: PendingFile,
    /// The first bytes of the file, at most a WAL header.
    start: Vec<u8>,
    size: u64,
}

impl Delivery {
    fn begin(file: ArchiveFile, destination: &Path, options: GetOptions) -> Result<Self, Error> {
        let failed = || Error::file("write", destination);
        let name = destination.file_name().ok_or(std::io::ErrorKind::InvalidInput.into());
        let name = name.map_err(failed())?.to_owned();
        let directory = match destination.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let directory = crash_safe::open_directory(directory).map_err(failed())?;
        let pending = PendingFile::create(directory, FILE_MODE).map_err(failed())?;
        let pending = if options.durable { pending } else { pending.without_early_writeback() };
        let destination = destination.to_owned();
        Ok(Self { file, options, destination, name, pending, start: Vec::new(), size: 0 })
    }

    fn finish(self) -> Result<(), Error> {
        if let (Some(segment), Some(cluster)) = (with_header(self.file), self.options.cluster) {
            cluster.check(self.file, segment, &self.start, self.size)?;
        }
        let failed = Error::file("write", &self.destination);
        if self.options.durable {
            self.pending.publish(&self.name, Existing::Replace).map_err(failed)
        } else {
            self.pending.replace_unsynced(&self.name).map_err(failed)
        }
    }
}

impl RawSink for Delivery {
    type Error = Error;

    fn expect(&mut self, raw_size: u64) {
        self.pending.expect(raw_size);
    }

    fn accept(&mut self, raw: &[u8]) -> Result<(), Error> {
        let wanted = WalHeader::LENGTH.saturating_sub(self.start.len()).min(raw.len());
        self.start.extend_from_slice(&raw[..wanted]);
        self.size += raw.len() as u64;
        self.pending.write_all(raw).map_err(Error::file("write", &self.destination))
    }
}
