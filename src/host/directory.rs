//! A directory of this host, opened component by component.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{self, AtFlags, FileType, Mode, OFlags},
    io::Errno,
};

use super::{Error, User, give_to_owner_of};

/// The directory from which a path is opened.
const ROOT: &str = "/";
const FILE_MODE: u32 = 0o640;
/// Write permission of others.
const OTHERS_WRITE: u32 = 0o002;

/// A directory that is held open, so that it cannot be replaced between two operations.
#[derive(Debug)]
pub struct HostDirectory {
    handle: OwnedFd,
    path: PathBuf,
    owner: User,
    mode: u32,
}

impl HostDirectory {
    /// Opens the directory; `None` only on ENOENT. Does not check the owner, see [`Self::trusted`].
    pub fn open(path: &Path) -> Result<Option<Self>, Error> {
        Self::walk(path, None)
    }

    /// Opens the directory. Creates it and its parents if they are missing.
    pub fn ensure(path: &Path, mode: u32) -> Result<Self, Error> {
        let made = Self::walk(path, Some(mode))?;
        made.ok_or_else(|| failed("create", path, io::ErrorKind::NotFound.into()))
    }

    /// Opens one component at a time. A link is followed only if it belongs to this user or to root (such as
    /// `/var/run`), because a link of another user could lead anywhere.
    fn walk(path: &Path, make: Option<u32>) -> Result<Option<Self>, Error> {
        let start = std::path::absolute(path).map_err(|e| failed("open", path, e))?;
        let mut at = PathBuf::from(ROOT);
        let mut handle = open_at(rustix::fs::CWD, Path::new(ROOT), OFlags::empty())
            .map_err(|errno| failed("open", &at, errno.into()))?;
        for component in start.components() {
            let name = match component {
                Component::Normal(name) => Path::new(name),
                Component::ParentDir => Path::new(".."),
                _ => continue,
            };
            at.push(name);
            handle = match step(&handle, name, &at)? {
                Some(next) => next,
                None => match make {
                    Some(mode) => make_step(&handle, name, &at, mode)?,
                    None => return Ok(None),
                },
            };
        }
        let stat = fs::fstat(&handle).map_err(|errno| failed("examine", &at, errno.into()))?;
        let (owner, mode) = (User::new(stat.st_uid), stat.st_mode);
        Ok(Some(Self { handle, path: path.to_owned(), owner, mode }))
    }

    pub fn is_trusted(&self) -> bool {
        let user = User::current();
        self.mode & OTHERS_WRITE == 0
            && (user.is_root() || self.owner.is_root() || self.owner == user)
    }

    /// The directory, if no other user can have created files in it: it belongs to this user or to root, and is not
    /// world-writable. Root may use the directory of any user, because files that root creates there are given to the
    /// owner.
    pub fn trusted(self) -> Result<Self, Error> {
        if self.is_trusted() {
            return Ok(self);
        }
        Err(match self.mode & OTHERS_WRITE {
            0 => self.foreign_owner_error(),
            _ => Error::Open { path: self.path.display().to_string() },
        })
    }

    pub fn foreign_owner_error(&self) -> Error {
        Error::ForeignOwner { path: self.path.display().to_string(), owner: self.owner }
    }

    pub fn owner(&self) -> User {
        self.owner
    }

    /// For messages.
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Opens a file for reading and writing. Creates it if it is missing.
    pub fn open_or_create(&self, name: &str) -> Result<File, Error> {
        self.open_file(name, OFlags::RDWR | OFlags::CREATE)
    }

    /// Opens a file for appending. Creates it if it is missing.
    pub fn append(&self, name: &str) -> Result<File, Error> {
        self.open_file(name, OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE)
    }

    /// Opens a file for reading; `None` if it is missing.
    pub fn open_to_read(&self, name: &str) -> Result<Option<File>, Error> {
        match self.open_file(name, OFlags::RDONLY) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// Creates an empty file; `false` if it exists.
    pub fn create_new(&self, name: &str) -> Result<bool, Error> {
        match self.open_file(name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL) {
            Ok(_) => Ok(true),
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Removes a file; `false` if it is missing.
    pub fn remove(&self, name: &str) -> Result<bool, Error> {
        match fs::unlinkat(&self.handle, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(self.refused("remove", name, errno)),
        }
    }

    /// The owner of the entry, without following links; `None` if it is missing.
    pub fn owner_of(&self, name: &str) -> Result<Option<User>, Error> {
        match fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(User::new(stat.st_uid))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.refused("examine", name, errno)),
        }
    }

    /// The names in the directory that are UTF-8.
    pub fn names(&self) -> Result<Vec<String>, Error> {
        let failed = |errno: Errno| failed("list", &self.path, errno.into());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let readable = fs::openat(&self.handle, ".", flags, Mode::empty()).map_err(failed)?;
        let mut names = Vec::new();
        for entry in fs::Dir::new(readable).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            names.extend(entry.file_name().to_str().ok().map(str::to_owned));
        }
        Ok(names)
    }

    fn open_file(&self, name: &str, flags: OFlags) -> Result<File, Error> {
        // Without O_NONBLOCK, a named pipe would block this process forever.
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let mode = Mode::from_raw_mode(FILE_MODE);
        let path = || self.path_of(name).display().to_string();
        let file = match fs::openat(&self.handle, name, flags, mode) {
            Ok(file) => file,
            Err(Errno::LOOP) => {
                return Err(Error::NotAFile { path: path(), what: "it is a symbolic link" });
            }
            Err(errno) => return Err(self.refused("open", name, errno)),
        };
        let stat = fs::fstat(&file).map_err(|errno| self.refused("examine", name, errno))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Error::NotAFile { path: path(), what: "it is not a regular file" });
        }
        // A hard link to a file of another user could have been created by a user without write permission.
        if stat.st_nlink > 1 {
            return Err(Error::NotAFile { path: path(), what: "it has more than one hard link" });
        }
        let owner = User::new(stat.st_uid);
        if !(owner.is_root() || owner == User::current() || owner == self.owner) {
            return Err(Error::ForeignOwner { path: path(), owner });
        }
        if owner.is_root() {
            give_to_owner_of(&self.handle, &file)
                .map_err(|error| failed("change the owner of", &self.path_of(name), error))?;
        }
        Ok(File::from(file))
    }

    /// Adds the owner of the entry or of the directory to an error for missing permission.
    fn refused(&self, operation: &'static str, name: &str, errno: Errno) -> Error {
        let denied = matches!(errno, Errno::ACCESS | Errno::PERM);
        let found = || fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW).ok();
        let owner = denied.then(|| found().map_or(self.owner, |stat| User::new(stat.st_uid)));
        let path = self.path_of(name).display().to_string();
        Error::Io { operation, path, owner, source: errno.into() }
    }
}

fn failed(operation: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Io { operation, path: path.display().to_string(), owner: None, source }
}

fn open_at(parent: impl AsFd, name: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    fs::openat(parent, name, flags, Mode::empty())
}

/// Opens the next component; `None` if it is missing.
fn step(parent: &OwnedFd, name: &Path, at: &Path) -> Result<Option<OwnedFd>, Error> {
    let failed = |errno: Errno| failed("open", at, errno.into());
    match open_at(parent, name, OFlags::NOFOLLOW) {
        Ok(next) => return Ok(Some(next)),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::NOTDIR | Errno::LOOP) => {}
        Err(errno) => return Err(failed(errno)),
    }
    let stat = fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        return Err(failed(Errno::NOTDIR));
    }
    let owner = User::new(stat.st_uid);
    if owner.is_root() || owner == User::current() {
        open_at(parent, name, OFlags::empty()).map(Some).map_err(failed)
    } else {
        Err(Error::Link { path: at.display().to_string(), owner })
    }
}

/// Creates the next component. If another process created it at the same time, it is checked like any existing one.
fn make_step(parent: &OwnedFd, name: &Path, at: &Path, mode: u32) -> Result<OwnedFd, Error> {
    let failed = |errno: Errno| failed("create", at, errno.into());
    let made = match fs::mkdirat(parent, name, Mode::from_raw_mode(mode)) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(errno) => return Err(failed(errno)),
    };
    let next = open_at(parent, name, OFlags::NOFOLLOW).map_err(failed)?;
    if made {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let owned = fs::openat(&next, ".", flags, Mode::empty()).map_err(failed)?;
        fs::fchmod(&owned, Mode::from_raw_mode(mode)).map_err(failed)?;
        give_to_owner_of(parent, &owned).map_err(|error| self::failed("create", at, error))?;
    }
    Ok(next)
}

#[cfg(test)]
mod tests;
