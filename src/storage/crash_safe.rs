//! The one way this program makes a file that must survive a power failure: a temporary name in
//! the same directory, write, fsync of the file, rename, fsync of the directory.
//!
//! Everything works on directory handles, so a directory that is renamed or replaced in between
//! cannot lead a file astray.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{self, AtFlags, FallocateFlags, Mode, OFlags, RenameFlags, ResolveFlags},
    io::Errno,
};

use crate::host::give_to_owner_of;

/// What every temporary name starts with; listings hide them.
pub const TEMPORARY_PREFIX: &str = ".tmp-";

/// Digits of the random number in a temporary name.
const TEMPORARY_DIGITS: usize = 16;

/// Whether [`PendingFile`] may have made the name. The file of another program may begin with the same letters.
pub fn is_temporary_name(name: &str) -> bool {
    name.strip_prefix(TEMPORARY_PREFIX).is_some_and(|digits| {
        digits.len() == TEMPORARY_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Mode of the directories that are made.
const DIRECTORY_MODE: u32 = 0o750;

/// What publishing does where the name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Fails with `AlreadyExists` and leaves what is there.
    Keep,
    /// Takes its place in one step.
    Replace,
}

/// A file under a temporary name. Dropped before it is published, it is removed.
#[derive(Debug)]
pub struct PendingFile {
    directory: OwnedFd,
    temporary: String,
    file: File,
    published: bool,
    /// Bytes written, and up to where writing them back was begun.
    written: u64,
    pushed: u64,
    early_writeback: bool,
}

/// How much is written before the kernel is told to begin with the disk.
const WRITEBACK_STEP: u64 = 8 << 20;

impl PendingFile {
    /// Makes an empty file with exactly the permission bits of `mode`, whatever the umask.
    pub fn create(directory: OwnedFd, mode: u32) -> io::Result<Self> {
        let temporary = format!("{TEMPORARY_PREFIX}{:016x}", rand::random::<u64>());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(mode);
        let file = fs::openat(&directory, &temporary, flags | OFlags::CLOEXEC, mode)?;
        let file = File::from(file);
        let pending = Self {
            directory,
            temporary,
            file,
            published: false,
            written: 0,
            pushed: 0,
            early_writeback: true,
        };
        fs::fchmod(&pending.file, mode)?;
        Ok(pending)
    }

    /// Made by root, the file belongs to the owner of its directory: else root would lock the usual user out.
    pub fn owned_as_its_directory(self) -> io::Result<Self> {
        give_to_owner_of(&self.directory, &self.file)?;
        Ok(self)
    }

    /// Leaves the time of writing back to the kernel: for files without a sync.
    pub fn without_early_writeback(mut self) -> Self {
        self.early_writeback = false;
        self
    }

    /// Asks for room for a file of `size` bytes in one step, which costs less than a little more for each
    /// write. Advice only: where it is not taken, each write asks for its own.
    pub fn expect(&self, size: u64) {
        let _ = fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, size);
    }

    /// Appends bytes. From time to time the kernel is asked to write back what it has, without
    /// waiting for it, so that the fsync at the end finds little left to do.
    pub fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        let length = self.written - self.pushed;
        if self.early_writeback && length >= WRITEBACK_STEP {
            // Advice only: where it is not taken, the fsync does all the work.
            let _ = fs::fadvise(
                &self.file,
                self.pushed,
                std::num::NonZeroU64::new(length),
                fs::Advice::DontNeed,
            );
            self.pushed = self.written;
        }
        Ok(())
    }

    /// Makes the file durable and gives it its name.
    pub fn publish(mut self, name: impl AsRef<OsStr>, existing: Existing) -> io::Result<()> {
        self.file.sync_all()?;
        let name = name.as_ref();
        match existing {
            Existing::Replace => {
                fs::renameat(&self.directory, &self.temporary, &self.directory, name)?;
                self.published = true;
            }
            Existing::Keep => self.rename_unless_taken(name)?,
        }
        sync_directory(&self.directory)
    }

    /// Gives the file its name in place of what is there, without waiting for the disk: for files
    /// that are made again after a power failure.
    pub fn replace_unsynced(mut self, name: impl AsRef<OsStr>) -> io::Result<()> {
        fs::renameat(&self.directory, &self.temporary, &self.directory, name.as_ref())?;
        self.published = true;
        Ok(())
    }

    fn rename_unless_taken(&mut self, name: &OsStr) -> io::Result<()> {
        let (dir, temporary) = (&self.directory, &self.temporary);
        match fs::renameat_with(dir, temporary, dir, name, RenameFlags::NOREPLACE) {
            Ok(()) => {
                self.published = true;
                Ok(())
            }
            // The file system or the kernel cannot: a second link, then the first goes (on drop).
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                match fs::linkat(dir, temporary, dir, name, AtFlags::empty()) {
                    // A network file system may send the request again, and find what it has made itself.
                    Err(Errno::EXIST) if self.has_name(name)? => Ok(()),
                    linked => Ok(linked?),
                }
            }
            Err(errno) => Err(errno.into()),
        }
    }
}

impl PendingFile {
    /// Whether `name` is another name of this very file.
    fn has_name(&self, name: &OsStr) -> io::Result<bool> {
        let found = fs::statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let own = fs::fstat(&self.file)?;
        Ok((found.st_dev, found.st_ino) == (own.st_dev, own.st_ino))
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        if !self.published {
            // Nothing can be done about a failure; such files are hidden, and removed by expire.
            let _ = fs::unlinkat(&self.directory, &self.temporary, AtFlags::empty());
        }
    }
}

/// Makes the entries of a directory durable.
pub fn sync_directory(directory: impl AsFd) -> io::Result<()> {
    match fs::fsync(directory) {
        // Some network file systems do not know fsync of a directory; PostgreSQL lets it pass too.
        Ok(()) | Err(Errno::INVAL | Errno::BADF) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Opens a directory by its path; symbolic links in the path are followed.
pub fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(fs::open(path, flags, Mode::empty())?)
}

/// Opens a directory below another one; a symbolic link is not followed.
pub fn open_child(parent: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match fs::openat(parent.as_fd(), name, flags, Mode::empty()) {
        Err(errno @ (Errno::NOTDIR | Errno::LOOP)) => {
            Err(link_error(parent.as_fd(), name).unwrap_or_else(|| errno.into()))
        }
        other => Ok(other?),
    }
}

/// Opens a directory at any depth below another one in a single call of the kernel, which follows no
/// symbolic link on the way. `None` where that fails for whatever reason, also because the kernel is older
/// than Linux 5.6: [`open_child`] step by step tells why.
pub fn open_below(parent: impl AsFd, path: &str) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    fs::openat2(parent.as_fd(), path, flags, Mode::empty(), resolve).ok()
}

/// The error that tells a symbolic link from a file where a directory must be: a link must never
/// look like plain absence.
pub fn link_error(parent: BorrowedFd<'_>, name: &str) -> Option<io::Error> {
    let stat = fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    let is_link = fs::FileType::from_raw_mode(stat.st_mode) == fs::FileType::Symlink;
    is_link.then(|| refuse_link(name))
}

/// The error of a symbolic link where there must be none.
pub fn refuse_link(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, SymbolicLink { name: name.to_owned() })
}

/// A symbolic link where there must be none.
#[derive(Debug, thiserror::Error)]
#[error("'{name}' is a symbolic link, which is not followed")]
pub struct SymbolicLink {
    name: String,
}

/// Opens a directory by its path and makes, durably, what is missing of it.
pub fn ensure_directory(path: &Path) -> io::Result<OwnedFd> {
    let (opened, Some(parent), Some(name)) =
        (open_directory(path), path.parent(), path.file_name())
    else {
        return open_directory(path);
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    match opened {
        Ok(directory) => {
            if !has_entries(&directory)? {
                sync_parent(parent)?;
            }
            Ok(directory)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = ensure_directory(parent)?;
            make_directory(&parent, name)?;
            open_directory(path)
        }
        Err(error) => Err(error),
    }
}

/// Syncs the directory above an existing one that is empty. One that this user may not open is none in which a process of
/// this user has made anything.
fn sync_parent(parent: &Path) -> io::Result<()> {
    match open_directory(parent) {
        Ok(parent) => sync_directory(parent),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(error),
    }
}

/// Opens a directory below another one and makes it, durably, where it is missing.
pub fn ensure_child(parent: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    match open_child(parent, name) {
        Ok(child) => {
            if !has_entries(&child)? {
                sync_directory(parent)?;
            }
            Ok(child)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_directory(parent, OsStr::new(name))?;
            open_child(parent, name)
        }
        Err(error) => Err(error),
    }
}

fn make_directory(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    let mode = Mode::from_raw_mode(DIRECTORY_MODE);
    match fs::mkdirat(parent, name, mode) {
        Ok(()) => {
            fs::chmodat(parent, name, mode, AtFlags::empty())?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            give_to_owner_of(parent, fs::openat(parent, name, flags, Mode::empty())?)?;
        }
        Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    sync_directory(parent)
}

/// Whether the directory holds anything. Whoever makes an entry in a directory has made that directory's own entry
/// durable before; so an entry proves it, whoever made it and whenever. An empty directory may have been made a moment
/// ago by a process that has not come to its fsync.
fn has_entries(directory: impl AsFd) -> io::Result<bool> {
    for entry in fs::Dir::read_from(directory)? {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(path: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(path)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn pending(path: &Path, bytes: &[u8]) -> PendingFile {
        let mut file = PendingFile::create(open_directory(path).unwrap(), 0o640).unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn a_file_has_its_name_only_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let file = pending(dir.path(), b"one");
        assert!(names(dir.path())[0].starts_with(TEMPORARY_PREFIX));
        file.publish("x", Existing::Keep).unwrap();
        assert_eq!(names(dir.path()), ["x"]);
        let mode = std::fs::metadata(dir.path().join("x")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o640);
    }

    #[test]
    fn what_exists_is_kept_or_replaced_as_asked() {
        let dir = tempfile::tempdir().unwrap();
        pending(dir.path(), b"one").publish("x", Existing::Keep).unwrap();
        let refused = pending(dir.path(), b"two").publish("x", Existing::Keep).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(dir.path().join("x")).unwrap(), b"one");
        assert_eq!(names(dir.path()), ["x"]);
        pending(dir.path(), b"two").publish("x", Existing::Replace).unwrap();
        assert_eq!(std::fs::read(dir.path().join("x")).unwrap(), b"two");
        assert_eq!(names(dir.path()), ["x"]);
    }

    #[test]
    fn a_file_that_became_smaller_than_expected_has_the_size_of_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = PendingFile::create(open_directory(dir.path()).unwrap(), 0o640).unwrap();
        file.expect(1 << 20);
        file.write_all(b"one").unwrap();
        file.publish("x", Existing::Keep).unwrap();
        assert_eq!(std::fs::read(dir.path().join("x")).unwrap(), b"one");
    }

    #[test]
    fn a_file_knows_its_own_name_from_that_of_another() {
        let dir = tempfile::tempdir().unwrap();
        let file = pending(dir.path(), b"one");
        std::fs::write(dir.path().join("other"), b"one").unwrap();
        std::fs::hard_link(dir.path().join(&file.temporary), dir.path().join("own")).unwrap();
        assert!(file.has_name(OsStr::new("own")).unwrap());
        assert!(!file.has_name(OsStr::new("other")).unwrap());
    }

    #[test]
    fn a_dropped_file_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        drop(pending(dir.path(), b"one"));
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn directories_are_made_with_their_parents_and_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/c");
        ensure_directory(&path).unwrap();
        let again = ensure_directory(&path).unwrap();
        ensure_child(&again, "d").unwrap();
        ensure_child(&again, "d").unwrap();
        let mode = std::fs::metadata(path.join("d")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o750);
    }

    /// Only what is in it proves that the entry of a directory is durable: neither its age nor a clock.
    #[test]
    fn an_entry_in_a_directory_is_what_proves_it() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!has_entries(open_directory(dir.path()).unwrap()).unwrap());
        let file = pending(dir.path(), b"one");
        assert!(has_entries(open_directory(dir.path()).unwrap()).unwrap());
        drop(file);
        assert!(!has_entries(open_directory(dir.path()).unwrap()).unwrap());
        std::fs::create_dir(dir.path().join("x")).unwrap();
        assert!(has_entries(open_directory(dir.path()).unwrap()).unwrap());
    }

    #[test]
    fn a_linked_directory_is_not_taken_for_absent() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/tmp", dir.path().join("link")).unwrap();
        let error = open_child(open_directory(dir.path()).unwrap(), "link").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
}
