//! Pushes one file into the archive: for PostgreSQL's `archive_command`.

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

/// How a file is pushed.
#[derive(Clone, Copy, Debug)]
pub struct PushOptions {
    /// How segments are compressed; histories are stored as they are.
    pub compression: Compression,
    /// How many threads may compress at once.
    pub workers: usize,
}

/// What became of a pushed file. In both cases it is in the archive, whole and durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushOutcome {
    /// It was stored.
    Stored,
    /// The same bytes were there already.
    AlreadyThere,
}

/// The first bytes of a segment that is named so.
type Header = (WalSegment, [u8; WalHeader::LENGTH]);

/// A file on its way into an archive: it is read and compressed while it is found out where it goes.
pub struct Pushing {
    file: ArchiveFile,
    size: u64,
    /// The header, of files that have one.
    start: Option<Header>,
    prepared: Prepared<Error>,
}

impl Pushing {
    /// Begins with the file at `path`, which is to be stored as `file`.
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

    /// Stores the file. `cluster`: what segments must come from; `None` to leave their headers unchecked. Returns
    /// `Ok` only when the file would survive a power failure of the repository. Other bytes under the same name are
    /// refused, and the first are kept.
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
                info!("WAL file '{file}' is in the archive already, with the same content");
                Ok(PushOutcome::AlreadyThere)
            }
        }
    }
}

/// Histories are a few hundred bytes that people want to read.
fn compression_of(file: ArchiveFile, compression: Compression) -> Compression {
    match with_header(file) {
        Some(_) => compression,
        None => Compression { kind: CompressType::None, level: 0 },
    }
}

/// The file to push, checked as far as that can be done before all of it is read.
struct PushedFile {
    path: PathBuf,
    file: File,
    size: u64,
}

impl PushedFile {
    /// The file, and its header where files of this name have one.
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

/// What the name alone says about the size.
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
            // Seen after a crash; refusing it would hold up all the WAL behind it.
            warn!("'{file}' is empty; it is taken as it is, recovery does not need it");
            Ok(())
        }
        _ if size > HISTORY_SIZE_MAX => Err(content("it is too large for a history file")),
        _ => Ok(()),
    }
}

/// A history has a line of some 100 bytes for each promotion.
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
