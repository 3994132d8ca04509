//! Lists the entries to back up in one pass, while the server runs. Names are resolved relative to open directories,
//! and each is examined once.

use std::{
    ffi::{CStr, CString, OsStr},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, openat, statat},
    io::Errno,
};

use super::{
    DataDirectoryError, Result, Scan, ScannedEntry, ScannedKind,
    rules::{RelationRules, is_emptied, is_excluded, wal_directories},
};
use crate::{
    postgres::{ControlFile, version_directory},
    types::{DataPath, PgVersion},
};

/// Maximum depth. PostgreSQL nests three directories, users may add more. Each open level needs a file descriptor.
const DEPTH_MAX: usize = 64;
pub(super) const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const TABLESPACES: &[u8] = b"pg_tblspc";

/// Lists what the server would send. `root` is the open data directory, and `at` its path.
pub(super) fn scan(
    root: BorrowedFd<'_>,
    at: &Path,
    root_mode: u32,
    version: PgVersion,
    catalog_version: u32,
) -> Result<Scan> {
    let mut scanner = Scanner {
        at,
        root_mode,
        version,
        version_directory: version_directory(version, catalog_version),
        tablespaces: Vec::new(),
        followed: Vec::new(),
        scan: Scan::default(),
    };
    let root_stat = fstat(root).map_err(|errno| scanner.unexaminable(b"", errno))?;
    scanner.followed.push(identity(&root_stat));
    scanner.find_tablespaces(root)?;
    scanner.directory(root, b"", 0)?;
    Ok(scanner.scan)
}

pub(super) struct Scanner<'a> {
    pub(super) at: &'a Path,
    root_mode: u32,
    version: PgVersion,
    version_directory: String,
    /// Device and inode of each tablespace location. A location inside the data directory is scanned only through its
    /// link.
    pub(super) tablespaces: Vec<(u64, u64)>,
    /// Device and inode of the data directory and of the link targets that the scan is in, to detect loops.
    pub(super) followed: Vec<(u64, u64)>,
    pub(super) scan: Scan,
}

pub(super) struct Found<'a> {
    pub(super) directory: BorrowedFd<'a>,
    pub(super) name: &'a CStr,
    /// Relative to the data directory.
    pub(super) path: Vec<u8>,
    pub(super) stat: Stat,
    pub(super) depth: usize,
}

impl Found<'_> {
    pub(super) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }
}

impl Scanner<'_> {
    fn find_tablespaces(&mut self, root: BorrowedFd<'_>) -> Result<()> {
        let Some(directory) = self.open(root, c"pg_tblspc", TABLESPACES)? else { return Ok(()) };
        for name in self.list(directory.as_fd(), TABLESPACES)? {
            let path = join(TABLESPACES, &name);
            let link = self.examine(directory.as_fd(), &name, &path, AtFlags::SYMLINK_NOFOLLOW)?;
            if link.is_none_or(|s| FileType::from_raw_mode(s.st_mode) != FileType::Symlink) {
                continue;
            }
            let location = self.examine(directory.as_fd(), &name, &path, AtFlags::empty())?;
            self.tablespaces.extend(location.as_ref().map(identity));
        }
        Ok(())
    }

    pub(super) fn directory(
        &mut self,
        directory: BorrowedFd<'_>,
        path: &[u8],
        depth: usize,
    ) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err(DataDirectoryError::TooDeep { path: self.shown(path), limit: DEPTH_MAX });
        }
        let names = self.list(directory, path)?;
        let bytes = names.iter().map(|name| name.to_bytes());
        let rules = RelationRules::new(path, self.version, &self.version_directory, bytes);
        for name in &names {
            if is_excluded(name.to_bytes(), self.version) || rules.exclude(name.to_bytes()) {
                continue;
            }
            let path = join(path, name);
            // pg_control is read last by the source.
            if path == ControlFile::PATH.as_bytes() {
                continue;
            }
            let nofollow = AtFlags::SYMLINK_NOFOLLOW;
            if let Some(stat) = self.examine(directory, name, &path, nofollow)? {
                self.entry(Found { directory, name, path, stat, depth })?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, found: Found<'_>) -> Result<()> {
        let kind = found.kind();
        let is_directory_or_link = matches!(kind, FileType::Directory | FileType::Symlink);
        if found.path == b"pg_wal" {
            return self.wal(&found);
        }
        // For a file with such a name the server sends only a header, which breaks its archive.
        if is_emptied(found.name.to_bytes()) && is_directory_or_link {
            return self.emptied(&found);
        }
        match kind {
            FileType::RegularFile => {
                let size = u64::try_from(found.stat.st_size).unwrap_or_default();
                self.push(&found.path, &found.stat, ScannedKind::File { size })
            }
            FileType::Directory => self.subdirectory(&found),
            FileType::Symlink if is_tablespace(&found.path) => self.tablespace(&found),
            FileType::Symlink if is_within_tablespaces(&found.path) => {
                self.skip(&found, "a symbolic link")
            }
            FileType::Symlink => self.link(&found),
            FileType::Fifo => self.skip(&found, "a named pipe"),
            FileType::Socket => self.skip(&found, "a socket"),
            _ => self.skip(&found, "a special file"),
        }
    }

    fn subdirectory(&mut self, found: &Found<'_>) -> Result<()> {
        self.check_not_within_itself(&found.path, &found.stat)?;
        let Some(directory) = self.open(found.directory, found.name, &found.path)? else {
            return Ok(());
        };
        self.push(&found.path, &found.stat, ScannedKind::Directory)?;
        if self.tablespaces.contains(&identity(&found.stat)) {
            Ok(())
        } else {
            self.directory(directory.as_fd(), &found.path, found.depth + 1)
        }
    }

    /// Lists the link of a tablespace and the version directory of this server at its location.
    fn tablespace(&mut self, found: &Found<'_>) -> Result<()> {
        let Some(target) = self.target(found)? else { return Ok(()) };
        self.push(&found.path, &found.stat, ScannedKind::Link { target })?;
        let mut below = found.name.to_bytes().to_vec();
        below.extend_from_slice(b"/");
        below.extend_from_slice(self.version_directory.as_bytes());
        let path = [&found.path[..], b"/", self.version_directory.as_bytes()].concat();
        let Ok(name) = CString::new(below) else { return Ok(()) };
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        let Some(stat) = self.examine(found.directory, &name, &path, nofollow)? else {
            return Ok(());
        };
        let depth = found.depth + 1;
        self.entry(Found { directory: found.directory, name: &name, path, stat, depth })
    }

    /// A directory that is backed up empty.
    fn emptied(&mut self, found: &Found<'_>) -> Result<()> {
        let stat = self.as_directory(found);
        match self.target_of_emptied(found)? {
            Some(target) => self.push_linked(&found.path, &stat, ScannedKind::Directory, target),
            None => self.push(&found.path, &stat, ScannedKind::Directory),
        }
    }

    /// WAL comes from the archive. The server sends the directories in pg_wal with the mode of pg_wal.
    fn wal(&mut self, found: &Found<'_>) -> Result<()> {
        self.emptied(found)?;
        let stat = self.as_directory(found);
        let mut directories = wal_directories(self.version).iter();
        directories.try_for_each(|path| self.push(path, &stat, ScannedKind::Directory))
    }

    /// Attributes of a directory that is backed up empty. The server replaces a link by a directory.
    fn as_directory(&self, found: &Found<'_>) -> Stat {
        let mut stat = found.stat;
        if found.kind() == FileType::Symlink {
            stat.st_mode = FileType::Directory.as_raw_mode() | self.directory_mode();
        }
        stat
    }

    /// Mode of directories that the server creates (`src/common/file_perm.c`).
    fn directory_mode(&self) -> u32 {
        if self.root_mode & 0o750 == 0o750 { 0o750 } else { 0o700 }
    }

    pub(super) fn skip(&mut self, found: &Found<'_>, what: &'static str) -> Result<()> {
        let path = self.checked(&found.path)?;
        self.scan.skipped.push((path, what));
        Ok(())
    }

    pub(super) fn push(&mut self, path: &[u8], stat: &Stat, kind: ScannedKind) -> Result<()> {
        let path = self.checked(path)?;
        self.scan.entries.push(with_kind(path, stat, kind));
        Ok(())
    }

    /// An entry behind a link to `target`; `stat` is that of the target.
    pub(super) fn push_linked(
        &mut self,
        path: &[u8],
        stat: &Stat,
        kind: ScannedKind,
        target: Vec<u8>,
    ) -> Result<()> {
        let path = self.checked(path)?;
        let entry = ScannedEntry { link: Some(target), ..with_kind(path, stat, kind) };
        self.scan.entries.push(entry);
        Ok(())
    }

    pub(super) fn checked(&self, path: &[u8]) -> Result<DataPath> {
        DataPath::new(path).map_err(|_| DataDirectoryError::TooLong { path: self.shown(path) })
    }

    /// `None` if it was removed.
    fn open(&self, at: BorrowedFd<'_>, name: &CStr, path: &[u8]) -> Result<Option<OwnedFd>> {
        match openat(at, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(directory) => Ok(Some(directory)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.unlistable(path, errno)),
        }
    }

    /// `None` if it was removed.
    pub(super) fn examine(
        &self,
        at: BorrowedFd<'_>,
        name: &CStr,
        path: &[u8],
        flags: AtFlags,
    ) -> Result<Option<Stat>> {
        match statat(at, name, flags) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.unexaminable(path, errno)),
        }
    }

    /// The names in a directory, sorted by bytes; empty if it was removed.
    fn list(&self, directory: BorrowedFd<'_>, path: &[u8]) -> Result<Vec<CString>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(directory).map_err(|errno| self.unlistable(path, errno))? {
            let entry = match entry {
                Ok(entry) => entry,
                Err(Errno::NOENT) => break,
                Err(errno) => return Err(self.unlistable(path, errno)),
            };
            let name = entry.file_name();
            if name != c"." && name != c".." {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        // A name that is removed and created again during the listing may be listed twice.
        names.dedup();
        Ok(names)
    }

    pub(super) fn unlistable(&self, path: &[u8], errno: Errno) -> DataDirectoryError {
        DataDirectoryError::Directory { path: self.shown(path), source: errno.into() }
    }

    pub(super) fn unexaminable(&self, path: &[u8], errno: Errno) -> DataDirectoryError {
        DataDirectoryError::Examine { path: self.shown(path), source: errno.into() }
    }

    pub(super) fn shown(&self, path: &[u8]) -> PathBuf {
        self.at.join(OsStr::from_bytes(path))
    }
}

/// The entry of a file or directory; `None` for any other type.
pub(super) fn scanned(path: DataPath, stat: &Stat) -> Option<ScannedEntry> {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            ScannedKind::File { size: u64::try_from(stat.st_size).unwrap_or_default() }
        }
        FileType::Directory => ScannedKind::Directory,
        _ => return None,
    };
    Some(with_kind(path, stat, kind))
}

fn with_kind(path: DataPath, stat: &Stat, kind: ScannedKind) -> ScannedEntry {
    ScannedEntry {
        path,
        kind,
        mode: stat.st_mode & 0o7777,
        modified: stat.st_mtime,
        uid: stat.st_uid,
        gid: stat.st_gid,
        link: None,
    }
}

/// Whether the path is an entry of pg_tblspc that the server treats as a tablespace: its name is an OID
/// (`do_pg_backup_start` in `xlog.c`).
fn is_tablespace(path: &[u8]) -> bool {
    let name = path.strip_prefix(TABLESPACES).and_then(|rest| rest.strip_prefix(b"/"));
    let oid = name.and_then(|name| std::str::from_utf8(name).ok());
    oid.is_some_and(|oid| oid.parse::<u32>().is_ok_and(|n| n > 0 && n.to_string() == oid))
}

fn is_within_tablespaces(path: &[u8]) -> bool {
    let name = path.strip_prefix(TABLESPACES).and_then(|rest| rest.strip_prefix(b"/"));
    name.is_some_and(|name| !name.contains(&b'/'))
}

fn join(directory: &[u8], name: &CStr) -> Vec<u8> {
    match directory {
        b"" => name.to_bytes().to_vec(),
        _ => [directory, b"/", name.to_bytes()].concat(),
    }
}

pub(super) fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}
