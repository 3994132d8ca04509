//! Reads the data directory of a server on this host while the server runs: the list of entries to back up, and the
//! files. All functions block.

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

type Result<T> = std::result::Result<T, DataDirectoryError>;

/// How often an invalid pg_control is read before it counts as damaged. A write of it takes microseconds.
const CONTROL_FILE_TRIES: u32 = 20;
const CONTROL_FILE_PAUSE: Duration = Duration::from_millis(5);

/// An open data directory of a server on this host.
#[derive(Debug)]
pub struct DataDirectory {
    root: OwnedFd,
    path: PathBuf,
    mode: u32,
}

/// The result of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Directories before their entries; entries sorted by the bytes of their names.
    pub entries: Vec<ScannedEntry>,
    /// Entries that cannot be backed up, with their kind, such as "a socket", for warnings.
    pub skipped: Vec<(DataPath, &'static str)>,
    /// Links whose target this process cannot see.
    pub left_out: Vec<DataPath>,
}

/// An entry of the data directory at the time of the scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScannedEntry {
    /// Relative to the data directory; files of a tablespace are below `pg_tblspc/<oid>`.
    pub path: DataPath,
    pub kind: ScannedKind,
    pub mode: u32,
    /// Seconds since 1970.
    pub modified: i64,
    pub uid: u32,
    pub gid: u32,
    /// The target, if the file or directory is behind a symbolic link. All other fields describe the target.
    pub link: Option<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScannedKind {
    File {
        /// In bytes.
        size: u64,
    },
    Directory,
    /// The link of a tablespace, or a link to another entry of the data directory.
    Link {
        target: Vec<u8>,
    },
}

impl DataDirectory {
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

    pub fn mode(&self) -> u32 {
        self.mode
    }

    /// Lists the current entries to back up, by the rules of BASE_BACKUP. Without `global/pg_control`, which is read
    /// last with [`Self::control_file`], and without `backup_label` and `tablespace_map`, which the server returns at
    /// the end of the backup. Entries removed during the scan are omitted.
    pub fn scan(&self, version: PgVersion, catalog_version: u32) -> Result<Scan> {
        scan::scan(self.root.as_fd(), &self.path, self.mode, version, catalog_version)
    }

    /// Opens a regular file for reading, following links as the server does; `None` if it was removed.
    pub fn open_file(&self, path: &DataPath) -> Result<Option<File>> {
        let shown = || path.under(&self.path);
        // NONBLOCK: without it, opening a named pipe would wait for a writer.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match openat(&self.root, path.as_bytes(), flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            // Errors of open for a link to itself, and for a socket or a device without a driver.
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

    /// Reads `global/pg_control` with a valid CRC. The server overwrites it in place, so an invalid CRC is retried for
    /// a while.
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
        match file.take(ControlFile::BYTES_MAX).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(source) => Err(DataDirectoryError::Read { path: path.to_owned(), source }),
        }
    }

    /// For messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Numeric owner and group of the directory.
    pub fn owner(&self) -> Result<(u32, u32)> {
        let stat = fstat(&self.root).map_err(|errno| DataDirectoryError::Directory {
            path: self.path.clone(),
            source: errno.into(),
        })?;
        Ok((stat.st_uid, stat.st_gid))
    }

    /// Examines a file or directory, following links; `None` if it was removed.
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

    /// `length` bytes of a file from `offset` on, fewer if it ends before; `None` if it was removed.
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

    pub fn read_error(&self, path: &DataPath, source: io::Error) -> DataDirectoryError {
        DataDirectoryError::Read { path: path.under(&self.path), source }
    }
}
