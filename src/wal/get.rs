//! Fetches one file from the archive: for PostgreSQL's `restore_command`.
//!
//! PostgreSQL takes a wrong answer for the end of the WAL, so the two good answers are told apart from
//! every failure: the file was delivered and every byte of it is proven, or its absence is proven.

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

/// How a file is fetched.
#[derive(Clone, Copy, Debug)]
pub struct GetOptions {
    /// The cluster that segments must come from; `None` to leave their headers unchecked.
    pub cluster: Option<ClusterIdentity>,
    /// Whether the file must survive a power failure. `restore_command` does not need it: after a
    /// crash PostgreSQL removes what it finds and asks again, and a file that it keeps it makes
    /// durable itself (`xlogarchive.c`, RestoreArchivedFile and KeepFileRestoredFromArchive).
    pub durable: bool,
}

/// The two good answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetOutcome {
    /// The file is at the destination, every byte proven.
    Delivered,
    /// The archive was listed and does not hold the file.
    Absent,
}

/// Mode of a delivered file, as PostgreSQL makes its WAL.
const FILE_MODE: u32 = 0o600;

/// Writes `file` to `destination`, in place of what is there. After an error, or where the file is
/// absent, the destination is as it was.
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

/// Writes a file that was found to `destination`, in place of what is there. After an error the destination is as it
/// was.
pub async fn deliver(
    archive: &WalArchive,
    stored: &StoredWal,
    destination: &Path,
    options: GetOptions,
) -> Result<(), Error> {
    let delivery = Delivery::begin(stored.file, destination, options)?;
    // One rename, and for a durable file its fsync, which nothing else of this process waits for.
    archive.read(stored, delivery).await?.finish()
}

/// A file being written beside its destination.
struct Delivery {
    file: ArchiveFile,
    options: GetOptions,
    destination: PathBuf,
    name: OsString,
    pending: PendingFile,
    /// The first bytes, until the header is whole.
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
        let pending = match options.durable {
            true => pending,
            false => pending.without_early_writeback(),
        };
        let destination = destination.to_owned();
        Ok(Self { file, options, destination, name, pending, start: Vec::new(), size: 0 })
    }

    fn finish(self) -> Result<(), Error> {
        if let (Some(segment), Some(cluster)) = (with_header(self.file), self.options.cluster) {
            cluster.check(self.file, segment, &self.start, self.size)?;
        }
        let failed = Error::file("write", &self.destination);
        match self.options.durable {
            true => self.pending.publish(&self.name, Existing::Replace).map_err(failed),
            false => self.pending.replace_unsynced(&self.name).map_err(failed),
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
