//! A file being written, perhaps by several workers at once; who ends last completes it.

use std::{
    fs::{File, FileTimes, OpenOptions, Permissions},
    os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use rustix::fs::OFlags;

use super::owner::Owner;
use crate::{
    repo::file_list::FileEntry,
    restore::Error,
    types::{DataPath, ErrorCode},
};

/// A file to restore.
#[derive(Debug)]
pub(super) struct FileJob {
    entry: FileEntry,
    path: PathBuf,
    /// Whether a file that is there already may be completed (`--delta`).
    reuse: bool,
    /// How many parts are not done.
    parts: AtomicUsize,
    /// Whether its length must be set, because its end is zeros that were not written.
    ends_in_hole: AtomicBool,
    opened: Mutex<Option<Arc<Opened>>>,
}

/// An open file.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: Arc<File>,
    /// Whether it held anything before: then zeros must be written like other bytes.
    pub(super) existed: bool,
}

impl FileJob {
    /// The job to restore `entry` at `path`.
    pub(super) fn new(entry: FileEntry, path: PathBuf, reuse: bool) -> Self {
        Self {
            entry,
            path,
            reuse,
            parts: AtomicUsize::new(1),
            ends_in_hole: AtomicBool::new(false),
            opened: Mutex::new(None),
        }
    }

    /// Sets how many parts there are; before any is given out.
    pub(super) fn expect_parts(&self, parts: usize) {
        self.parts.store(parts, Ordering::Relaxed);
    }

    /// The size that the file must have.
    pub(super) fn size(&self) -> u64 {
        self.entry.size()
    }

    /// The file's name in the backup.
    pub(super) fn name(&self) -> &DataPath {
        &self.entry.path
    }

    /// Whether a file that is there already may be completed.
    pub(super) fn may_reuse(&self) -> bool {
        self.reuse
    }

    /// The file, opened or created at its first use.
    pub(super) fn open(&self) -> Result<Arc<Opened>, Error> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = &*opened {
            return Ok(Arc::clone(opened));
        }
        let new = Arc::new(open(&self.path, self.reuse, self.size())?);
        *opened = Some(Arc::clone(&new));
        Ok(new)
    }

    /// Closes the file until it is needed again, so that few are open at a time.
    pub(super) fn close(&self) {
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Writes bytes at an offset.
    pub(super) fn write(&self, opened: &Opened, bytes: &[u8], offset: u64) -> Result<(), Error> {
        opened.file.write_all_at(bytes, offset).map_err(Error::target(
            "write",
            &self.path,
            ErrorCode::FileWrite,
        ))
    }

    /// Reads what the file holds already, `false` where it is shorter.
    pub(super) fn read(
        &self,
        opened: &Opened,
        bytes: &mut [u8],
        offset: u64,
    ) -> Result<bool, Error> {
        match opened.file.read_exact_at(bytes, offset) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(Error::target("read", &self.path, ErrorCode::FileRead)(error)),
        }
    }

    /// Says that zeros at `end` were left out.
    pub(super) fn skipped(&self, end: u64) {
        if end == self.size() {
            self.ends_in_hole.store(true, Ordering::Relaxed);
        }
    }

    /// Ends a part; the last one completes the file.
    pub(super) fn end_part(&self, owner: Owner) -> Result<(), Error> {
        if self.parts.fetch_sub(1, Ordering::AcqRel) > 1 {
            return Ok(());
        }
        let opened = self.open()?;
        self.close();
        self.complete(&opened.file, owner)
    }

    fn complete(&self, file: &File, owner: Owner) -> Result<(), Error> {
        let path = &self.path;
        if self.ends_in_hole.load(Ordering::Relaxed) {
            let set = file.set_len(self.size());
            set.map_err(Error::target("set the size of", path, ErrorCode::FileWrite))?;
        }
        file.set_permissions(Permissions::from_mode(self.entry.mode)).map_err(Error::target(
            "set the mode of",
            path,
            ErrorCode::FileMode,
        ))?;
        owner.give(file, path)?;
        let times = FileTimes::new().set_modified(time_of(self.entry.mtime));
        file.set_times(times).map_err(Error::target("set the time of", path, ErrorCode::FileWrite))
    }
}

fn open(path: &Path, reuse: bool, size: u64) -> Result<Opened, Error> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits() as i32);
    if reuse {
        match options.clone().read(true).open(path) {
            Ok(file) => return reused(file, path, size),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::target("open", path, ErrorCode::FileOpen)(error)),
        }
    }
    let made = options.create_new(true).open(path);
    let file = made.map_err(Error::target("create", path, ErrorCode::FileOpen))?;
    Ok(Opened { file: Arc::new(file), existed: false })
}

fn reused(file: File, path: &Path, size: u64) -> Result<Opened, Error> {
    let failed = || Error::target("set the size of", path, ErrorCode::FileWrite);
    if file.metadata().map_err(failed())?.len() != size {
        file.set_len(size).map_err(failed())?;
    }
    Ok(Opened { file: Arc::new(file), existed: true })
}

pub(super) fn time_of(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time = match seconds >= 0 {
        true => SystemTime::UNIX_EPOCH.checked_add(distance),
        false => SystemTime::UNIX_EPOCH.checked_sub(distance),
    };
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}
