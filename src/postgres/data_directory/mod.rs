//! The data directory of a server on this host: what of it belongs into a backup, and its files, read
//! while the server runs. Everything here blocks.

mod behind_links;
mod error;
mod links;
mod presence;
mod rules;
mod scan;
#[cfg(test)]
mod tests;

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, fstat, open, openat, statat},
    io::Errno,
};

use crate::{
    postgres::{self, ControlFile},
    types::{DataPath, PgVersion},
};

pub use behind_links::{FileTimes, followed};
pub use error::DataDirectoryError;
pub use presence::Unseen;

/// The result of an operation on a data directory.
type Result<T> = std::result::Result<T, DataDirectoryError>;

/// A write of pg_control takes microseconds; how often it is read before it counts as damaged.
const CONTROL_FILE_TRIES: u32 = 20;
const CONTROL_FILE_PAUSE: Duration = Duration::from_millis(5);
/// The file has 8 KiB.
const CONTROL_FILE_BYTES_MAX: u64 = 64 << 10;

/// The data directory of a server on this host, opened.
#[derive(Debug)]
pub struct DataDirectory {
    root: OwnedFd,
    path: PathBuf,
    mode: u32,
}

/// What belongs into a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Directories before what is in them, else in the order of the names' bytes.
    pub entries: Vec<ScannedEntry>,
    /// What cannot be kept and is worth a warning: the entry, and what it is ("a socket").
    pub skipped: Vec<(DataPath, &'static str)>,
    /// Links that lead to what this process cannot see.
    pub left_out: Vec<DataPath>,
}

/// An entry of the data directory, as it was when it was examined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScannedEntry {
    /// The path from the data directory; files of a tablespace are named through its link.
    pub path: DataPath,
    /// File, directory or link.
    pub kind: ScannedKind,
    /// Permission bits.
    pub mode: u32,
    /// Modification time, seconds since 1970.
    pub modified: i64,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Of a file or directory that is a symbolic link: where it points. All else is of what it leads to.
    pub link: Option<Vec<u8>>,
}

/// What kind of thing an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScannedKind {
    /// A regular file.
    File {
        /// Size in bytes.
        size: u64,
    },
    /// A directory.
    Directory,
    /// The link of a tablespace, or one that leads to another entry of the data directory.
    Link {
        /// Where it points.
        target: Vec<u8>,
    },
}

impl DataDirectory {
    /// Opens the directory at `path`.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |errno: Errno| DataDirectoryError::Directory {
            path: path.to_owned(),
            source: errno.into(),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(path, flags, Mode::empty()).map_err(failed)?;
        let mode = fstat(&root).map_err(failed)?.st_mode & 0o7777;
        Ok(Self { root, path: path.to_owned(), mode })
    }

    /// Permission bits of the directory itself.
    pub fn mode(&self) -> u32 {
        self.mode
    }

    /// Everything that belongs into a backup, as it is now, by the rules of the server's BASE_BACKUP.
    /// `global/pg_control` is not among it: it is read last, with [`Self::control_file`]. Nor are
    /// `backup_label` and `tablespace_map`, which the server gives at the end of the backup. What goes
    /// away meanwhile is left out.
    pub fn scan(&self, version: PgVersion, catalog_version: u32) -> Result<Scan> {
        scan::scan(self.root.as_fd(), &self.path, self.mode, version, catalog_version)
    }

    /// Opens a regular file to read; `None` where it is gone. As the server does, it follows links.
    pub fn open_file(&self, path: &DataPath) -> Result<Option<File>> {
        let shown = || path.under(&self.path);
        // NONBLOCK, since opening a named pipe would wait for a writer.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match openat(&self.root, path.as_bytes(), flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            // What open says of a link to itself, and of a socket or a device without a driver.
            Err(Errno::LOOP | Errno::NXIO) => {
                return Err(DataDirectoryError::NotRegular { path: shown() });
            }
            Err(errno) => {
                return Err(DataDirectoryError::Open { path: shown(), source: errno.into() });
            }
        };
        match file.metadata() {
            Ok(metadata) if metadata.is_file() => Ok(Some(file)),
            Ok(_) => Err(DataDirectoryError::NotRegular { path: shown() }),
            Err(source) => Err(DataDirectoryError::Examine { path: shown(), source }),
        }
    }

    /// `global/pg_control`, whole, with a CRC that is right. The server writes it in place, so it is read
    /// again for a while when it is not.
    pub fn control_file(&self) -> Result<Vec<u8>> {
        let path = self.path.join(ControlFile::PATH);
        let mut tries = 0;
        loop {
            let bytes = self.read_control_file(&path)?;
            tries += 1;
            match ControlFile::parse(&bytes) {
                Ok(_) => return Ok(bytes),
                Err(postgres::Error::Checksum { .. } | postgres::Error::Format { .. })
                    if tries < CONTROL_FILE_TRIES =>
                {
                    sleep(CONTROL_FILE_PAUSE);
                }
                Err(error) => {
                    let source = Box::new(error);
                    return Err(DataDirectoryError::ControlFile { path, tries, source });
                }
            }
        }
    }

    fn read_control_file(&self, path: &Path) -> Result<Vec<u8>> {
        let missing = || DataDirectoryError::Missing { path: path.to_owned() };
        let name = DataPath::new(ControlFile::PATH.as_bytes()).map_err(|_| missing())?;
        let file = self.open_file(&name)?.ok_or_else(missing)?;
        let mut bytes = Vec::new();
        match file.take(CONTROL_FILE_BYTES_MAX).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(source) => Err(DataDirectoryError::Read { path: path.to_owned(), source }),
        }
    }

    /// The directory's path, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Numeric owner and group of the directory itself.
    pub fn owner(&self) -> Result<(u32, u32)> {
        let stat = fstat(&self.root).map_err(|errno| DataDirectoryError::Directory {
            path: self.path.clone(),
            source: errno.into(),
        })?;
        Ok((stat.st_uid, stat.st_gid))
    }

    /// A file or directory as it is now, also behind a link; `None` where it is gone.
    pub fn stat(&self, path: &DataPath) -> Result<Option<ScannedEntry>> {
        let stat = match statat(&self.root, path.as_bytes(), AtFlags::empty()) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => {
                let (path, source) = (path.under(&self.path), errno.into());
                return Err(DataDirectoryError::Examine { path, source });
            }
        };
        scan::scanned(path.clone(), &stat)
            .map(Some)
            .ok_or_else(|| DataDirectoryError::NotRegular { path: path.under(&self.path) })
    }

    /// `length` bytes of a file from `offset` on, fewer where it ends before; `None` where it is gone.
    pub fn read_page(&self, path: &DataPath, offset: u64, length: u32) -> Result<Option<Vec<u8>>> {
        let Some(mut file) = self.open_file(path)? else { return Ok(None) };
        let mut bytes = Vec::with_capacity(length as usize);
        let read = file
            .seek(SeekFrom::Start(offset))
            .and_then(|_| file.take(length.into()).read_to_end(&mut bytes));
        match read {
            Ok(_) => Ok(Some(bytes)),
            Err(source) => Err(self.read_error(path, source)),
        }
    }

    /// The error of a read of a file of the directory.
    pub fn read_error(&self, path: &DataPath, source: io::Error) -> DataDirectoryError {
        DataDirectoryError::Read { path: path.under(&self.path), source }
    }
}
