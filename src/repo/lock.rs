//! Locks between processes of one host, and stop files. A lock is a `flock` on a file, so it dies with its process. The
//! file's text names the holder and the progress of a backup, for `info` to show.

use std::{
    fs::{File, TryLockError},
    io::{Read, Seek, Write},
    os::unix::fs::MetadataExt,
    path::Path,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::Error;
use crate::{
    host::{self, HostDirectory, LockPath, User},
    types::StanzaName,
};

/// [`peek`] holds the lock for a moment, so a lock that is taken is tried again briefly.
const ATTEMPTS_MAX: u32 = 10;
const ATTEMPT_PAUSE: Duration = Duration::from_millis(30);
const TEXT_LEN_MAX: u64 = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// backup, expire and the stanza commands, per repository.
    Backup {
        repo: u16,
    },
    Restore,
}

/// The text of a lock file. Sizes in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LockState {
    pub pid: u32,
    pub command: String,
    /// Size of the whole backup; `None` until it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Done so far. The name is pgBackRest's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_cplt: Option<u64>,
}

/// Held until dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: String,
    state: LockState,
}

impl Lock {
    /// Takes the lock; [`Error::Locked`] names the holder.
    pub fn acquire(
        lock_path: &LockPath,
        stanza: &StanzaName,
        kind: LockKind,
        command: &str,
    ) -> Result<Self, Error> {
        let directory = lock_path.ensure()?;
        let name = file_of(stanza, kind);
        let path = directory.path_of(&name).display().to_string();
        let file = directory.open_or_create(&name)?;
        if !try_lock(&file, &path)? {
            let holder = read_state(&file).map_or(String::new(), |state| {
                format!(" (process {}, command {})", state.pid, state.command)
            });
            return Err(Error::Locked { path, holder });
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

    /// Records the progress of a backup, for `info`.
    pub fn progress(&mut self, size: Option<u64>, done: u64) -> Result<(), Error> {
        self.state.size = size;
        self.state.size_cplt = Some(done);
        self.write_state()
    }

    fn write_state(&mut self) -> Result<(), Error> {
        let failed = |source| lock_file_error("write", &self.path, source);
        // Padded to one length: the file is overwritten in place, and a shorter text would leave the end of a longer one.
        let text = serde_json::to_string(&self.state).map_err(|error| failed(error.into()))?;
        self.file.rewind().map_err(failed)?;
        self.file.write_all(format!("{text:<256}\n").as_bytes()).map_err(failed)
    }
}

/// The state of a lock; `None` if nobody holds it.
pub fn peek(
    lock_path: &LockPath,
    stanza: &StanzaName,
    kind: LockKind,
) -> Result<Option<LockState>, Error> {
    let name = file_of(stanza, kind);
    for path in lock_path.all() {
        let Some(directory) = open_trusted(lock_path, path)? else { continue };
        match peek_file(&directory, &name) {
            Ok(None) => {}
            // Another user's directory may be closed to this one.
            Err(_) if path != lock_path.own() => {}
            seen => return seen,
        }
    }
    Ok(None)
}

/// Opens a lock directory if its owner can be trusted. An error for this user's own directory; other users' directories
/// are skipped.
fn open_trusted(lock_path: &LockPath, path: &Path) -> Result<Option<HostDirectory>, Error> {
    let opened =
        HostDirectory::open(path).and_then(|found| found.map(HostDirectory::trusted).transpose());
    match opened {
        Err(_) if path != lock_path.own() => Ok(None),
        opened => Ok(opened?),
    }
}

fn peek_file(directory: &HostDirectory, name: &str) -> Result<Option<LockState>, Error> {
    let Some(file) = directory.open_to_read(name)? else { return Ok(None) };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(read_state(&file).unwrap_or_default())),
        Err(TryLockError::Error(source)) => {
            Err(lock_file_error("read", &directory.path_of(name).display().to_string(), source))
        }
    }
}

/// The holders of the locks of one stanza, or of all. A process counts only if it has the lock file open: its id in the
/// file may be that of a process in another container that shares the directory.
pub fn holders(lock_path: &LockPath, stanza: Option<&StanzaName>) -> Result<Vec<LockState>, Error> {
    let mut holders = Vec::new();
    for path in lock_path.all() {
        let Some(directory) = open_trusted(lock_path, path)? else { continue };
        match holders_in(&directory, stanza) {
            Err(_) if path != lock_path.own() => {}
            found => holders.extend(found?),
        }
    }
    Ok(holders)
}

fn holders_in(
    directory: &HostDirectory,
    stanza: Option<&StanzaName>,
) -> Result<Vec<LockState>, Error> {
    let mut holders = Vec::new();
    for name in directory.names()? {
        let found = stanza_of(&name);
        let wanted = found.is_some_and(|name| stanza.is_none_or(|stanza| stanza.as_str() == name));
        if wanted && let Some(state) = peek_file(directory, &name)? {
            let path = directory.path_of(&name);
            if has_open(state.pid, &path, directory.owner()) {
                holders.push(state)
            } else {
                tracing::warn!(
                    "process {} that holds lock '{}' is not visible here",
                    state.pid,
                    path.display()
                )
            }
        }
    }
    Ok(holders)
}

/// The stanza in a lock file's name.
fn stanza_of(file_name: &str) -> Option<&str> {
    let name = file_name.strip_suffix(".lock")?;
    name.strip_suffix("-restore").or_else(|| {
        let (stanza, repo) = name.rsplit_once("-backup-")?;
        repo.parse::<u16>().is_ok().then_some(stanza)
    })
}

/// Whether process `pid` of this host has `file` open, as far as this user can see. In a user's directory only that
/// user's and root's processes count, because the user can write any process id into the file.
fn has_open(pid: u32, file: &Path, owner: User) -> bool {
    let identity = |path: &Path| std::fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
    let Ok(process) = std::fs::metadata(format!("/proc/{pid}")) else { return false };
    let user = User::new(process.uid());
    if !(owner.is_root() || user.is_root() || user == owner) {
        return false;
    }
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let wanted = identity(file);
    wanted.is_some() && descriptors.flatten().any(|entry| identity(&entry.path()) == wanted)
}

fn try_lock(file: &File, path: &str) -> Result<bool, Error> {
    for attempt in 0..ATTEMPTS_MAX {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if attempt + 1 < ATTEMPTS_MAX => {
                std::thread::sleep(ATTEMPT_PAUSE);
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(source)) => return Err(lock_file_error("lock", path, source)),
        }
    }
    Ok(false)
}

fn read_state(file: &File) -> Option<LockState> {
    let mut text = String::new();
    let mut file = file;
    file.rewind().ok()?;
    file.take(TEXT_LEN_MAX).read_to_string(&mut text).ok()?;
    serde_json::from_str(text.trim_end()).ok()
}

fn file_of(stanza: &StanzaName, kind: LockKind) -> String {
    match kind {
        LockKind::Backup { repo } => format!("{stanza}-backup-{repo}.lock"),
        LockKind::Restore => format!("{stanza}-restore.lock"),
    }
}

fn lock_file_error(operation: &'static str, path: &str, source: std::io::Error) -> Error {
    host::Error::Io { operation, path: path.to_owned(), owner: None, source }.into()
}

fn stop_file_name(stanza: Option<&StanzaName>) -> String {
    stanza.map_or("all.stop".to_owned(), |stanza| format!("{stanza}.stop"))
}

/// Creates the stop file of a stanza, or of all; `false` if it was stopped already.
pub fn stop(lock_path: &LockPath, stanza: Option<&StanzaName>) -> Result<bool, Error> {
    let was_stopped = is_stopped(lock_path, stanza)?;
    let made = lock_path.ensure()?.create_new(&stop_file_name(stanza))?;
    Ok(made && !was_stopped)
}

/// Removes the stop file of a stanza, or of all, from every lock directory; `false` if there was none.
pub fn start(lock_path: &LockPath, stanza: Option<&StanzaName>) -> Result<bool, Error> {
    let (name, mut removed) = (stop_file_name(stanza), false);
    for path in lock_path.all() {
        match start_in(path, &name) {
            Ok(was_there) => removed |= was_there,
            Err(error) if path != lock_path.own() => {
                tracing::warn!("{error}: stop files in '{}' are ignored", path.display());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(removed)
}

fn start_in(path: &Path, name: &str) -> Result<bool, host::Error> {
    let Some(directory) = HostDirectory::open(path)? else { return Ok(false) };
    match stop_file_owner(&directory, name)? {
        Some(owner) if may_stop(&directory, owner, true) => directory.remove(name),
        _ => Ok(false),
    }
}

/// Whether the stop file of the stanza (`None`: the one for all stanzas) is in force.
pub fn is_stopped(lock_path: &LockPath, stanza: Option<&StanzaName>) -> Result<bool, Error> {
    Ok(stopped_by(lock_path, &[stanza])?.is_some())
}

/// [`Error::Stopped`] if the stop file of the stanza or that of all stanzas is in force.
pub fn check_not_stopped(lock_path: &LockPath, stanza: &StanzaName) -> Result<(), Error> {
    match stopped_by(lock_path, &[None, Some(stanza)])? {
        None => Ok(()),
        Some((None, path)) => Err(Error::Stopped { whom: "all stanzas".to_owned(), path }),
        Some((Some(stanza), path)) => {
            Err(Error::Stopped { whom: format!("stanza {stanza}"), path })
        }
    }
}

/// A stop file: its stanza (`None`: all), and its path.
type StopFile<'a> = (Option<&'a StanzaName>, String);

/// The first stop file that is in force.
fn stopped_by<'a>(
    lock_path: &LockPath,
    stanzas: &[Option<&'a StanzaName>],
) -> Result<Option<StopFile<'a>>, Error> {
    for path in lock_path.all() {
        match stopped_in(path, path == lock_path.own(), stanzas) {
            Ok(None) => {}
            Ok(stop) => return Ok(stop),
            // Another user must not be able to stop WAL archiving with a link or a directory of theirs.
            Err(error) if error.is_foreign() || path != lock_path.own() => {
                tracing::warn!("{error}: stop files in '{}' are ignored", path.display());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

fn stopped_in<'a>(
    path: &Path,
    is_own: bool,
    stanzas: &[Option<&'a StanzaName>],
) -> Result<Option<StopFile<'a>>, host::Error> {
    let Some(directory) = HostDirectory::open(path)? else { return Ok(None) };
    for stanza in stanzas {
        let name = stop_file_name(*stanza);
        let Some(owner) = stop_file_owner(&directory, &name)? else { continue };
        let path = directory.path_of(&name).display().to_string();
        if may_stop(&directory, owner, is_own) {
            return Ok(Some((*stanza, path)));
        }
        tracing::warn!("stop file '{path}' was created by user {owner} and is ignored");
    }
    Ok(None)
}

/// The owner of a stop file; `None` if there is no such file.
fn stop_file_owner(directory: &HostDirectory, name: &str) -> Result<Option<User>, host::Error> {
    match directory.owner_of(name) {
        // Another user closed the directory to this one: as untrusted as a directory of theirs.
        Err(error) if error.is_denied() && !directory.is_trusted() => {
            Err(directory.foreign_owner_error())
        }
        owner => owner,
    }
}

/// Whether the owner of a stop file may stop this user's commands: the user, root, and the owner of a trusted directory.
/// Root trusts every directory, but only its own may stop it, because any user can create one of the others.
fn may_stop(directory: &HostDirectory, owner: User, is_own: bool) -> bool {
    let of_directory = directory.is_trusted() && owner == directory.owner();
    owner.is_root()
        || owner == User::current()
        || (of_directory && (is_own || !User::current().is_root()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_excludes_and_is_freed() {
        let dir = tempfile::tempdir().unwrap();
        let lock_path = &LockPath::at(dir.path());
        let stanza: StanzaName = "demo".parse().unwrap();
        let kind = LockKind::Backup { repo: 1 };
        let mut lock = Lock::acquire(lock_path, &stanza, kind, "backup").unwrap();
        lock.progress(Some(100), 7).unwrap();
        let seen = peek(lock_path, &stanza, kind).unwrap().unwrap();
        assert_eq!((seen.size, seen.size_cplt), (Some(100), Some(7)));
        let refused = Lock::acquire(lock_path, &stanza, kind, "backup").unwrap_err().to_string();
        assert!(refused.contains("command backup"), "{refused}");
        Lock::acquire(lock_path, &stanza, LockKind::Backup { repo: 2 }, "backup").unwrap();
        drop(lock);
        assert_eq!(peek(lock_path, &stanza, kind).unwrap(), None);
        Lock::acquire(lock_path, &stanza, kind, "expire").unwrap();
    }

    #[test]
    fn holders_are_found_by_stanza() {
        let dir = tempfile::tempdir().unwrap();
        let lock_path = &LockPath::at(dir.path());
        let [a, b]: [StanzaName; 2] = ["db", "db-backup"].map(|name| name.parse().unwrap());
        let _first = Lock::acquire(lock_path, &a, LockKind::Backup { repo: 1 }, "backup").unwrap();
        let _other = Lock::acquire(lock_path, &b, LockKind::Restore, "restore").unwrap();
        drop(Lock::acquire(lock_path, &a, LockKind::Restore, "restore").unwrap());
        std::fs::write(dir.path().join("unrelated.lock"), "{}").unwrap();
        let seen = |stanza| holders(lock_path, stanza).unwrap();
        assert_eq!(seen(Some(&a)).len(), 1);
        assert_eq!(seen(Some(&a))[0].pid, std::process::id());
        assert_eq!(seen(Some(&b))[0].command, "restore");
        assert_eq!(seen(None).len(), 2);
    }

    #[test]
    fn a_process_without_the_file_is_no_holder() {
        let dir = tempfile::tempdir().unwrap();
        let lock_path = &LockPath::at(dir.path());
        let stanza: StanzaName = "demo".parse().unwrap();
        let mut lock = Lock::acquire(lock_path, &stanza, LockKind::Restore, "restore").unwrap();
        lock.state.pid = 1;
        lock.write_state().unwrap();
        assert_eq!(holders(lock_path, Some(&stanza)).unwrap(), []);
    }

    #[test]
    fn stop_files_forbid_one_stanza_or_all() {
        let dir = tempfile::tempdir().unwrap();
        let lock_path = &LockPath::at(dir.path());
        let stanza: StanzaName = "demo".parse().unwrap();
        let other: StanzaName = "other".parse().unwrap();
        check_not_stopped(lock_path, &stanza).unwrap();
        assert!(stop(lock_path, Some(&stanza)).unwrap());
        assert!(!stop(lock_path, Some(&stanza)).unwrap());
        assert!(check_not_stopped(lock_path, &stanza).is_err());
        check_not_stopped(lock_path, &other).unwrap();
        assert!(stop(lock_path, None).unwrap());
        assert!(check_not_stopped(lock_path, &other).is_err());
        assert!(start(lock_path, None).unwrap());
        assert!(start(lock_path, Some(&stanza)).unwrap());
        check_not_stopped(lock_path, &stanza).unwrap();
    }
}
