//! Pushes a file to the archive, for PostgreSQL's `archive_command`.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use tracing::{info, warn};

use super::{
    Error,
    segment::{ClusterIdentity, with_header},
};
use crate::{
    postgres::WalHeader,
    repo::archive::{Prepared, PutOptions, PutOutcome, RAW_SIZE_MAX, RawSource, WalArchive},
    types::{ArchiveFile, CompressType, Compression, WalSegment},
};

#[derive(Clone, Copy, Debug)]
pub struct PushOptions {
    /// For segments. History files are not compressed.
    pub compression: Compression,
    /// Compression threads.
    pub workers: usize,
}

/// In both cases the file is complete and durable in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushOutcome {
    Stored,
    /// The archive already has a file with the same content.
    AlreadyThere,
}

type Header = (WalSegment, [u8; WalHeader::LENGTH]);

/// A file that is being pushed: it is read and compressed while the archive is looked up.
pub struct Pushing {
    file: ArchiveFile,
    size: u64,
    /// The WAL header, if files of this name have one.
    start: Option<Header>,
    prepared: Prepared<Error>,
}

impl Pushing {
    /// Starts to read the file at `path`, to be stored as `file`.
    pub async fn begin(
        path: &Path,
        file: ArchiveFile,
        options: PushOptions,
    ) -> Result<Self, Error> {
        let (source, start) = PushedFile::open(path, file)?;
        let put = PutOptions {
            compression: compression_of(file, options.compression),
            workers: options.workers,
            raw_size: source.size,
        };
        let size = source.size;
        Ok(Self { file, size, start, prepared: Prepared::begin(source, put).await? })
    }

    /// Stores the file. `cluster`: the cluster of the segments; `None` to skip the check of their headers. Returns
    /// `Ok` only if the file survives a power failure of the repository. A file of the same name with different
    /// content is an error, and the existing one is kept.
    pub async fn store(
        self,
        archive: &WalArchive,
        cluster: Option<ClusterIdentity>,
    ) -> Result<PushOutcome, Error> {
        let file = self.file;
        if let (Some((segment, start)), Some(cluster)) = (&self.start, cluster) {
            cluster.check(file, *segment, start, self.size)?;
        }
        match archive.put_prepared(file, self.prepared).await? {
            PutOutcome::Stored(_) => {
                info!("pushed WAL file '{file}' to the archive");
                Ok(PushOutcome::Stored)
            }
            PutOutcome::Existed(_) => {
                info!("WAL file '{file}' already exists in the archive with the same content");
                Ok(PushOutcome::AlreadyThere)
            }
        }
    }
}

/// History files have a few hundred bytes and remain readable.
fn compression_of(file: ArchiveFile, compression: Compression) -> Compression {
    match with_header(file) {
        Some(_) => compression,
        None => Compression { kind: CompressType::None, level: 0 },
    }
}

/// Size and header were checked when the file was opened.
struct PushedFile {
    path: PathBuf,
    file: File,
    size: u64,
}

impl PushedFile {
    /// Opens the file and reads its header, if files of this name have one.
    fn open(path: &Path, name: ArchiveFile) -> Result<(Self, Option<Header>), Error> {
        let mut file = File::open(path).map_err(Error::file("open", path))?;
        let metadata = file.metadata().map_err(Error::file("read", path))?;
        if !metadata.is_file() {
            return Err(Error::NotAFile { path: path.to_owned() });
        }
        let size = metadata.len();
        check_size(name, size)?;
        let mut header = None;
        if let Some(segment) = with_header(name) {
            let mut start = [0; WalHeader::LENGTH];
            file.read_exact(&mut start).map_err(Error::file("read", path))?;
            header = Some((segment, start));
        }
        let mut pushed = Self { path: path.to_owned(), file, size };
        pushed.rewind()?;
        Ok((pushed, header))
    }
}

/// Checks the size as far as the name determines it.
fn check_size(file: ArchiveFile, size: u64) -> Result<(), Error> {
    let content =
        |reason: &str| Error::Content { file: file.to_string(), reason: reason.to_owned() };
    match file {
        ArchiveFile::Segment(_) | ArchiveFile::Partial(_) => {
            let possible = size.is_power_of_two() && (1 << 20..=RAW_SIZE_MAX).contains(&size);
            let reason = format!("no WAL segment has {size} bytes");
            possible.then_some(()).ok_or_else(|| content(&reason))
        }
        ArchiveFile::History(_) if size == 0 => Err(content("a timeline history is never empty")),
        ArchiveFile::BackupHistory(..) if size == 0 => {
            // Occurs after a crash. An error would block archiving of all later WAL.
            warn!("'{file}' is empty and was archived as it is: recovery does not need it");
            Ok(())
        }
        _ if size > HISTORY_SIZE_MAX => Err(content("it is too large for a history file")),
        _ => Ok(()),
    }
}

/// A timeline history file has about 100 bytes per promotion.
const HISTORY_SIZE_MAX: u64 = 16 << 20;

impl RawSource for PushedFile {
    type Error = Error;

    fn fill(&mut self, buffer: &mut Vec<u8>, limit: usize) -> Result<(), Error> {
        buffer.clear();
        buffer.reserve_exact(limit);
        let read = (&mut self.file).take(limit as u64).read_to_end(buffer);
        read.map(|_| ()).map_err(Error::file("read", &self.path))
    }

    fn rewind(&mut self) -> Result<(), Error> {
        let sought = self.file.seek(SeekFrom::Start(0));
        sought.map(|_| ()).map_err(Error::file("read", &self.path))
    }

    fn changed(&self) -> Error {
        Error::Changed { path: self.path.clone() }
    }
}
