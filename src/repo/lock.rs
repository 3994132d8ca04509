//! Locks between processes of one host, and the stop files. A lock is a `flock` on a file, so a crash
//! frees it; the file's text says who holds it and how far a backup is, for `info` to show.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::Error;
use crate::types::StanzaName;

/// `info` looks at a lock by taking it for a moment; so a lock that is taken is tried again briefly.
const TRIES: u32 = 10;
const TRY_PAUSE: Duration = Duration::from_millis(30);
const TEXT_MAX: u64 = 4096;

/// What a lock guards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// Backups, expire and stanza commands in one repository.
    Backup {
        /// The repository's number.
        repo: u16,
    },
    /// Restores.
    Restore,
}

/// Who holds a lock, and how far a backup is. Sizes in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LockState {
    /// The process.
    pub pid: u32,
    /// The command, such as `backup`.
    pub command: String,
    /// The size of the whole backup, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// How much of it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_cplt: Option<u64>,
}

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
    state: LockState,
}

impl Lock {
    /// Takes the lock, or says who has it.
    pub fn acquire(
        lock_path: &Path,
        stanza: &StanzaName,
        kind: LockKind,
        command: &str,
    ) -> Result<Self, Error> {
        let path = file_of(lock_path, stanza, kind);
        make_directory(lock_path)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o640)
            .open(&path)
            .map_err(|source| lock_file("open", &path, source))?;
        if !try_lock(&file, &path)? {
            let holder = read_state(&file).map_or(String::new(), |state| {
                format!(" (process {}, command {})", state.pid, state.command)
            });
            return Err(Error::Locked { path: path.display().to_string(), holder });
        }
        let state = LockState {
            pid: std::process::id(),
            command: command.to_owned(),
            ..Default::default()
        };
        let mut lock = Self { file, path, state };
        lock.write_state()?;
        Ok(lock)
    }

    /// Records how far the work is.
    pub fn progress(&mut self, size: Option<u64>, done: u64) -> Result<(), Error> {
        self.state.size = size;
        self.state.size_cplt = Some(done);
        self.write_state()
    }

    fn write_state(&mut self) -> Result<(), Error> {
        let failed = |source| lock_file("write", &self.path, source);
        // Padded to one length, so that a reader never sees the tail of a longer text.
        let text = serde_json::to_string(&self.state).map_err(|error| failed(error.into()))?;
        self.file.rewind().map_err(failed)?;
        self.file.write_all(format!("{text:<256}\n").as_bytes()).map_err(failed)
    }
}

/// Looks at a lock: `None` when nobody holds it.
pub fn peek(
    lock_path: &Path,
    stanza: &StanzaName,
    kind: LockKind,
) -> Result<Option<LockState>, Error> {
    peek_file(&file_of(lock_path, stanza, kind))
}

fn peek_file(path: &Path) -> Result<Option<LockState>, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(lock_file("open", path, source)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(read_state(&file).unwrap_or_default())),
        Err(TryLockError::Error(source)) => Err(lock_file("look at", path, source)),
    }
}

/// Who holds locks of a stanza, or of all. A process counts only if it has the lock file open: the
/// number in the file may be that of a process in another container that shares the directory.
pub fn holders(lock_path: &Path, stanza: Option<&StanzaName>) -> Result<Vec<LockState>, Error> {
    let failed = |source| lock_file("list", lock_path, source);
    let mut holders = Vec::new();
    for entry in lock_path.read_dir().map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(stanza_of);
        let wanted = name.is_some_and(|name| stanza.is_none_or(|stanza| stanza.as_str() == name));
        if wanted && let Some(state) = peek_file(&path)? {
            match has_open(state.pid, &path) {
                true => holders.push(state),
                false => tracing::warn!("the holder of lock '{}' is not seen", path.display()),
            }
        }
    }
    Ok(holders)
}

/// The stanza in the name of a lock file.
fn stanza_of(file_name: &str) -> Option<&str> {
    let name = file_name.strip_suffix(".lock")?;
    name.strip_suffix("-restore").or_else(|| {
        let (stanza, repo) = name.rsplit_once("-backup-")?;
        repo.parse::<u16>().is_ok().then_some(stanza)
    })
}

/// Whether process `pid` of this host has `file` open, as far as this user may see it.
fn has_open(pid: u32, file: &Path) -> bool {
    let identity = |path: &Path| std::fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let wanted = identity(file);
    wanted.is_some() && descriptors.flatten().any(|entry| identity(&entry.path()) == wanted)
}

fn try_lock(file: &File, path: &Path) -> Result<bool, Error> {
    for attempt in 0..TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if attempt + 1 < TRIES => std::thread::sleep(TRY_PAUSE),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(source)) => return Err(lock_file("lock", path, source)),
        }
    }
    Ok(false)
}

fn read_state(file: &File) -> Option<LockState> {
    let mut text = String::new();
    let mut file = file;
    file.rewind().ok()?;
    file.take(TEXT_MAX).read_to_string(&mut text).ok()?;
    serde_json::from_str(text.trim_end()).ok()
}

fn file_of(lock_path: &Path, stanza: &StanzaName, kind: LockKind) -> PathBuf {
    lock_path.join(match kind {
        LockKind::Backup { repo } => format!("{stanza}-backup-{repo}.lock"),
        LockKind::Restore => format!("{stanza}-restore.lock"),
    })
}

fn make_directory(path: &Path) -> Result<(), Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o770)
        .create(path)
        .map_err(|source| lock_file("create", path, source))
}

fn lock_file(operation: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::LockFile { operation, path: path.display().to_string(), source }
}

fn stop_file(lock_path: &Path, stanza: Option<&StanzaName>) -> PathBuf {
    lock_path.join(stanza.map_or("all.stop".to_owned(), |stanza| format!("{stanza}.stop")))
}

/// Forbids commands on a stanza, or on all; `false` where they were forbidden already.
pub fn stop(lock_path: &Path, stanza: Option<&StanzaName>) -> Result<bool, Error> {
    make_directory(lock_path)?;
    let path = stop_file(lock_path, stanza);
    match OpenOptions::new().write(true).create_new(true).mode(0o640).open(&path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(source) => Err(lock_file("create", &path, source)),
    }
}

/// Allows commands again; `false` where they were not forbidden.
pub fn start(lock_path: &Path, stanza: Option<&StanzaName>) -> Result<bool, Error> {
    let path = stop_file(lock_path, stanza);
    match std::fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(lock_file("remove", &path, source)),
    }
}

/// Whether the stop file of the stanza, or the one for all, is there.
pub fn is_stopped(lock_path: &Path, stanza: Option<&StanzaName>) -> bool {
    stop_file(lock_path, stanza).exists()
}

/// An error while a stop file forbids the stanza.
pub fn check_not_stopped(lock_path: &Path, stanza: &StanzaName) -> Result<(), Error> {
    for (whom, name) in
        [(None, "all stanzas".to_owned()), (Some(stanza), format!("stanza {stanza}"))]
    {
        if is_stopped(lock_path, whom) {
            return Err(Error::Stopped { whom: name });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_excludes_and_is_freed() {
        let dir = tempfile::tempdir().unwrap();
        let stanza: StanzaName = "demo".parse().unwrap();
        let kind = LockKind::Backup { repo: 1 };
        let mut lock = Lock::acquire(dir.path(), &stanza, kind, "backup").unwrap();
        lock.progress(Some(100), 7).unwrap();
        let seen = peek(dir.path(), &stanza, kind).unwrap().unwrap();
        assert_eq!((seen.size, seen.size_cplt), (Some(100), Some(7)));
        let refused = Lock::acquire(dir.path(), &stanza, kind, "backup").unwrap_err().to_string();
        assert!(refused.contains("command backup"), "{refused}");
        Lock::acquire(dir.path(), &stanza, LockKind::Backup { repo: 2 }, "backup").unwrap();
        drop(lock);
        assert_eq!(peek(dir.path(), &stanza, kind).unwrap(), None);
        Lock::acquire(dir.path(), &stanza, kind, "expire").unwrap();
    }

    #[test]
    fn holders_are_found_by_stanza() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b]: [StanzaName; 2] = ["db", "db-backup"].map(|name| name.parse().unwrap());
        let _first = Lock::acquire(dir.path(), &a, LockKind::Backup { repo: 1 }, "backup").unwrap();
        let _other = Lock::acquire(dir.path(), &b, LockKind::Restore, "restore").unwrap();
        drop(Lock::acquire(dir.path(), &a, LockKind::Restore, "restore").unwrap());
        std::fs::write(dir.path().join("unrelated.lock"), "{}").unwrap();
        let seen = |stanza| holders(dir.path(), stanza).unwrap();
        assert_eq!(seen(Some(&a)).len(), 1);
        assert_eq!(seen(Some(&a))[0].pid, std::process::id());
        assert_eq!(seen(Some(&b))[0].command, "restore");
        assert_eq!(seen(None).len(), 2);
    }

    #[test]
    fn a_process_without_the_file_is_no_holder() {
        let dir = tempfile::tempdir().unwrap();
        let stanza: StanzaName = "demo".parse().unwrap();
        let mut lock = Lock::acquire(dir.path(), &stanza, LockKind::Restore, "restore").unwrap();
        lock.state.pid = 1;
        lock.write_state().unwrap();
        assert_eq!(holders(dir.path(), Some(&stanza)).unwrap(), []);
    }

    #[test]
    fn stop_files_forbid_one_stanza_or_all() {
        let dir = tempfile::tempdir().unwrap();
        let stanza: StanzaName = "demo".parse().unwrap();
        let other: StanzaName = "other".parse().unwrap();
        check_not_stopped(dir.path(), &stanza).unwrap();
        assert!(stop(dir.path(), Some(&stanza)).unwrap());
        assert!(!stop(dir.path(), Some(&stanza)).unwrap());
        assert!(check_not_stopped(dir.path(), &stanza).is_err());
        check_not_stopped(dir.path(), &other).unwrap();
        assert!(stop(dir.path(), None).unwrap());
        assert!(check_not_stopped(dir.path(), &other).is_err());
        assert!(start(dir.path(), None).unwrap());
        assert!(start(dir.path(), Some(&stanza)).unwrap());
        check_not_stopped(dir.path(), &stanza).unwrap();
    }
}
