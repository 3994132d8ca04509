//! The blocking file work behind the store.

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    ops::Range,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileExt,
    },
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use rustix::{
    fs::{self, AtFlags, FileType, Mode, OFlags},
    io::Errno,
};

use super::failure::failure;
use crate::storage::{
    Entry, EntryKind, Error, ErrorKind, Listing, ObjectPath, Result,
    crash_safe::{self, Existing, PendingFile, TEMPORARY_PREFIX},
};

/// Mode of an object's file.
const FILE_MODE: u32 = 0o640;

/// How often a write begins again when a delete takes the emptied directory away from under it.
const DIRECTORY_TRIES: usize = 16;

/// A directory tree, named by its root.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
}

impl Tree {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(super) fn location(&self) -> String {
        self.root.display().to_string()
    }

    /// An error of `operation` on `path` here.
    pub(super) fn failed(
        &self,
        operation: &'static str,
        path: &ObjectPath,
        error: impl Into<io::Error>,
    ) -> Error {
        let object = self.root.join(path.as_str()).display().to_string();
        failure(operation, object, error.into())
    }

    /// Writes an object whole.
    pub(super) fn put(&self, path: &ObjectPath, data: &[Bytes]) -> Result<()> {
        let mut pending = self.begin(path)?;
        for piece in data {
            pending.write_all(piece).map_err(|e| self.failed("write", path, e))?;
        }
        self.publish(path, pending)
    }

    /// Makes the temporary file of an object, and the directories above it.
    pub(super) fn begin(&self, path: &ObjectPath) -> Result<PendingFile> {
        let mut tries = 0;
        loop {
            let made = self
                .ensure(&path.parent())
                .and_then(|directory| PendingFile::create(directory, FILE_MODE))
                .and_then(PendingFile::owned_as_its_directory);
            tries += 1;
            match made {
                Err(e) if e.kind() == io::ErrorKind::NotFound && tries < DIRECTORY_TRIES => {}
                Err(e) => return Err(self.failed("write", path, e)),
                Ok(pending) => return Ok(pending),
            }
        }
    }

    /// Gives a finished temporary file its name.
    pub(super) fn publish(&self, path: &ObjectPath, pending: PendingFile) -> Result<()> {
        let done = pending.publish(path.file_name(), Existing::Keep);
        if matches!(&done, Err(e) if e.kind() == io::ErrorKind::AlreadyExists) {
            // The process that created it may not have synced the directory yet.
            self.directory(&path.parent())
                .and_then(crash_safe::sync_directory)
                .map_err(|e| self.failed("write", path, e))?;
        }
        done.map_err(|e| self.failed("write", path, e))
    }

    /// Opens an object and tells its size.
    pub(super) fn open(&self, path: &ObjectPath) -> Result<(File, u64)> {
        self.open_file(path).map_err(|e| self.failed("read", path, e))
    }

    fn open_file(&self, path: &ObjectPath) -> io::Result<(File, u64)> {
        let directory = absent_below_a_file(self.directory(&path.parent()))?;
        let name = path.file_name();
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match fs::openat(&directory, name, flags, Mode::empty()) {
            Err(Errno::LOOP) => {
                let link = crash_safe::link_error(directory.as_fd(), name);
                return Err(link.unwrap_or_else(|| Errno::LOOP.into()));
            }
            other => File::from(other?),
        };
        let metadata = file.metadata()?;
        match metadata.is_file() {
            true => Ok((file, metadata.len())),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn read_range(&self, path: &ObjectPath, range: Range<u64>) -> Result<Bytes> {
        let (file, size) = self.open(path)?;
        if range.end > size || range.start > range.end {
            let object = self.root.join(path.as_str()).display().to_string();
            return Err(Error::new(ErrorKind::Truncated, "read", object));
        }
        let mut bytes = vec![0; (range.end - range.start) as usize];
        file.read_exact_at(&mut bytes, range.start).map_err(|e| self.failed("read", path, e))?;
        Ok(bytes.into())
    }

    pub(super) fn stat(&self, path: &ObjectPath) -> Result<Entry> {
        let looked = absent_below_a_file(self.directory(&path.parent())).and_then(|directory| {
            let stat = fs::statat(&directory, path.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => Ok(entry(path.clone(), &stat)),
                _ => Err(crash_safe::link_error(directory.as_fd(), path.file_name())
                    .unwrap_or_else(|| io::ErrorKind::NotFound.into())),
            }
        });
        looked.map_err(|e| self.failed("look at", path, e))
    }

    pub(super) fn list(&self, directory: &ObjectPath, recurse: bool) -> Result<Vec<Entry>> {
        self.without_links(self.list_and_links(directory, recurse)?)
    }

    pub(super) fn list_and_links(&self, directory: &ObjectPath, recurse: bool) -> Result<Listing> {
        let mut found = Listing::default();
        let mut todo = vec![directory.clone()];
        while let Some(directory) = todo.pop() {
            let here = self.entries(&directory, |name| !name.starts_with(TEMPORARY_PREFIX))?;
            if recurse {
                let below = here.entries.iter().filter(|e| e.kind == EntryKind::Directory);
                todo.extend(below.map(|e| e.path.clone()));
            }
            found.entries.extend(here.entries);
            found.links.extend(here.links);
        }
        found.entries.sort_by(|a, b| a.path.cmp(&b.path));
        found.links.sort();
        Ok(found)
    }

    pub(super) fn list_prefix(&self, directory: &ObjectPath, prefix: &str) -> Result<Vec<Entry>> {
        let wanted = |name: &str| name.starts_with(prefix) && !name.starts_with(TEMPORARY_PREFIX);
        let mut found = self.without_links(self.entries(directory, wanted)?)?;
        found.retain(|e| e.kind != EntryKind::Directory);
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// An object behind a link must not look absent.
    fn without_links(&self, listing: Listing) -> Result<Vec<Entry>> {
        match listing.links.first() {
            None => Ok(listing.entries),
            Some(link) => {
                let refused = crash_safe::refuse_link(link.file_name());
                Err(self.failed("list", &link.parent(), refused))
            }
        }
    }

    /// The objects, directories and links directly below `path` whose name is `wanted`.
    fn entries(&self, path: &ObjectPath, wanted: impl Fn(&str) -> bool) -> Result<Listing> {
        let mut found = Listing::default();
        self.each_name(path, |directory, name, _| {
            let named = wanted(name).then(|| path.join(name).ok()).flatten();
            let Some(path) = named else { return Ok(()) };
            match fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if is_listed(&stat) => found.entries.push(entry(path, &stat)),
                Ok(stat) if is_link(&stat) => found.links.push(path),
                Ok(_) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Calls `each` with every name of a directory and its type; one that does not exist has none.
    fn each_name(
        &self,
        path: &ObjectPath,
        mut each: impl FnMut(&OwnedFd, &str, FileType) -> io::Result<()>,
    ) -> Result<()> {
        let failed = |e| self.failed("list", path, e);
        let directory = match absent_below_a_file(self.directory(path)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(failed)?,
        };
        let listing = fs::Dir::read_from(&directory).map_err(|e| failed(e.into()))?;
        for item in listing {
            let item = item.map_err(|e| failed(e.into()))?;
            // A name that is not text is no name of ours.
            match item.file_name().to_str() {
                Ok("." | "..") | Err(_) => {}
                Ok(name) => each(&directory, name, item.file_type()).map_err(failed)?,
            }
        }
        Ok(())
    }

    pub(super) fn delete(&self, paths: &[ObjectPath]) -> Result<()> {
        let mut paths: Vec<_> = paths.iter().collect();
        paths.sort();
        paths.dedup();
        paths.sort_by_key(|path| path.parent());
        let mut touched = Touched::default();
        for group in paths.chunk_by(|a, b| a.parent() == b.parent()) {
            self.delete_in(&group[0].parent(), group)?;
            touched.insert(group[0].parent());
        }
        self.settle(touched)
    }

    fn delete_in(&self, parent: &ObjectPath, paths: &[&ObjectPath]) -> Result<()> {
        let directory = match absent_below_a_file(self.directory(parent)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(|e| self.failed("remove", parent, e))?,
        };
        for path in paths {
            match fs::unlinkat(&directory, path.file_name(), AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(self.failed("remove", path, errno)),
            }
        }
        Ok(())
    }

    /// Removes the directories that were left empty, and those above them; makes what was removed from the
    /// others durable. A directory that goes need not be synced, which is most of them when a backup goes.
    fn settle(&self, mut touched: Touched) -> Result<()> {
        while let Some(path) = touched.pop_deepest() {
            let failed = |e| self.failed("remove", &path, e);
            match self.remove_directory(&path) {
                Ok(true) if path != ObjectPath::root() => drop(touched.insert(path.parent())),
                Ok(_) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    /// Removes an empty directory, which is not the root; says whether it is gone. One that stays is synced.
    fn remove_directory(&self, path: &ObjectPath) -> io::Result<bool> {
        if *path != ObjectPath::root() {
            let parent = match self.directory(&path.parent()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
                other => other?,
            };
            match fs::unlinkat(&parent, path.file_name(), AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => return Ok(true),
                Err(Errno::NOTEMPTY | Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        match self.directory(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            other => crash_safe::sync_directory(other?).map(|()| false),
        }
    }

    /// Removes stale temporary files below `path`, and directories that hold nothing else.
    pub(super) fn remove_stale(&self, path: &ObjectPath, older_than: Duration) -> Result<u64> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let limit = now.saturating_sub(older_than).as_secs() as i64;
        let (mut removed, mut below) = (0, Vec::new());
        self.each_name(path, |directory, name, file_type| {
            if name.starts_with(TEMPORARY_PREFIX) {
                if crash_safe::is_temporary_name(name) && is_stale(directory, name, limit) {
                    fs::unlinkat(directory, name, AtFlags::empty())?;
                    removed += 1;
                }
            } else if is_directory(directory, name, file_type) {
                // Whether it was left long ago is asked before anything is removed from it.
                below.push((name.to_owned(), is_stale(directory, name, limit)));
            }
            Ok(())
        })?;
        for (name, is_stale) in below {
            let Ok(child) = path.join(&name) else { continue };
            let removed_below = self.remove_stale(&child, older_than)?;
            removed += removed_below;
            if is_stale || removed_below > 0 {
                self.settle(Touched::from([child]))?;
            }
        }
        Ok(removed)
    }

    /// Opens a directory; a symbolic link on the way is refused.
    fn directory(&self, path: &ObjectPath) -> io::Result<OwnedFd> {
        let mut directory = crash_safe::open_directory(&self.root)?;
        if let Some(found) = crash_safe::open_below(&directory, path.as_str()) {
            return Ok(found);
        }
        for name in components(path) {
            directory = crash_safe::open_child(&directory, name)?;
        }
        Ok(directory)
    }

    /// Opens a directory and makes what is missing of it.
    fn ensure(&self, path: &ObjectPath) -> io::Result<OwnedFd> {
        let mut directory = crash_safe::ensure_directory(&self.root)?;
        for name in components(path) {
            directory = crash_safe::ensure_child(&directory, name)?;
        }
        Ok(directory)
    }
}

/// Directories from which something was removed, in the order of their depth.
#[derive(Default)]
struct Touched(BTreeSet<(usize, ObjectPath)>);

impl Touched {
    fn insert(&mut self, path: ObjectPath) -> bool {
        self.0.insert((components(&path).count(), path))
    }

    fn pop_deepest(&mut self) -> Option<ObjectPath> {
        self.0.pop_last().map(|(_, path)| path)
    }
}

impl From<[ObjectPath; 1]> for Touched {
    fn from([path]: [ObjectPath; 1]) -> Self {
        let mut touched = Self::default();
        touched.insert(path);
        touched
    }
}

fn components(path: &ObjectPath) -> impl Iterator<Item = &str> {
    path.as_str().split('/').filter(|name| !name.is_empty())
}

/// Below an object there is nothing, as on an object store.
fn absent_below_a_file(opened: io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    opened.map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::NOTDIR) => Errno::NOENT.into(),
        _ => error,
    })
}

fn is_link(stat: &fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Symlink
}

fn is_listed(stat: &fs::Stat) -> bool {
    matches!(FileType::from_raw_mode(stat.st_mode), FileType::RegularFile | FileType::Directory)
}

/// Not every file system tells the type with the name.
fn is_directory(parent: &OwnedFd, name: &str, file_type: FileType) -> bool {
    match file_type {
        FileType::Unknown => fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory),
        known => known == FileType::Directory,
    }
}

fn is_stale(directory: &OwnedFd, name: &str, limit: i64) -> bool {
    let stat = fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
    stat.is_ok_and(|stat| stat.st_mtime <= limit)
}

fn entry(path: ObjectPath, stat: &fs::Stat) -> Entry {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => EntryKind::Directory,
        _ => EntryKind::Object { size: u64::try_from(stat.st_size).unwrap_or_default() },
    };
    Entry { path, kind, modified: Some(stat.st_mtime) }
}
