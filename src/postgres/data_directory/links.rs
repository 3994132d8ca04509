//! Symbolic links in the data directory, except those of tablespaces. The server reads through them, and so does the
//! scan: the content is listed under the path of the link, and the entry has the target of the link.
//!
//! A link to another entry of the data directory is kept as a link, because its target is scanned anyway.

use std::{
    ffi::OsStr,
    fs, io,
    os::{
        fd::AsFd,
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, FileType, Mode, Stat, openat, readlinkat},
    io::Errno,
};

use super::{
    DataDirectoryError, Result, ScannedKind,
    scan::{DIRECTORY, Found, Scanner, identity},
};
use crate::{postgres::is_of_postgres, types::escape_path};

impl Scanner<'_> {
    /// A link and its target.
    pub(super) fn link(&mut self, found: &Found<'_>) -> Result<()> {
        let Some(target) = self.target(found)? else { return Ok(()) };
        let Some(behind) = self.behind(found, &target)? else { return Ok(()) };
        if let Some(target) = self.target_inside(&found.path, &target)? {
            return self.push(&found.path, &found.stat, ScannedKind::Link { target });
        }
        let target = self.target_to_record(&found.path, target)?;
        match FileType::from_raw_mode(behind.st_mode) {
            FileType::RegularFile => {
                let size = u64::try_from(behind.st_size).unwrap_or_default();
                self.push_linked(&found.path, &behind, ScannedKind::File { size }, target)
            }
            FileType::Directory => self.linked_directory(found, &behind, target),
            _ => self.skip(found, "a symbolic link to a socket, pipe or device"),
        }
    }

    /// The target of a link; `None` if the link was removed.
    pub(super) fn target(&self, found: &Found<'_>) -> Result<Option<Vec<u8>>> {
        match readlinkat(found.directory, found.name, Vec::new()) {
            Ok(target) => Ok(Some(target.into_bytes())),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.unexaminable(&found.path, errno)),
        }
    }

    /// Below another link, a relative target is relative to a directory outside the data directory, which restore does
    /// not recreate.
    fn target_to_record(&self, path: &[u8], target: Vec<u8>) -> Result<Vec<u8>> {
        if self.followed.len() == 1 || target.starts_with(b"/") {
            return Ok(target);
        }
        Ok(self.leads_to(path, &target)?.into_os_string().into_vec())
    }

    /// The absolute target of a link; links in the target are not resolved.
    fn leads_to(&self, path: &[u8], target: &[u8]) -> Result<PathBuf> {
        let shown = self.shown(path);
        let parent = shown.parent().unwrap_or(self.at);
        let failed = |source| DataDirectoryError::Examine { path: shown.clone(), source };
        let mut absolute = fs::canonicalize(parent).map_err(failed)?;
        for component in Path::new(OsStr::from_bytes(target)).components() {
            match component {
                Component::ParentDir => drop(absolute.pop()),
                Component::CurDir => {}
                other => absolute.push(other),
            }
        }
        Ok(absolute)
    }

    /// The target of a link to a directory that is backed up empty. It is not read, so it need not be visible to this
    /// process.
    pub(super) fn target_of_emptied(&self, found: &Found<'_>) -> Result<Option<Vec<u8>>> {
        if found.kind() != FileType::Symlink {
            return Ok(None);
        }
        let Some(target) = self.target(found)? else { return Ok(None) };
        let inside = self.target_inside(&found.path, &target)?;
        Ok(inside.is_none().then_some(target))
    }

    /// The target of a link; `None` if the link was removed. A missing target may be on a file system that is visible
    /// to the server only: it is an error in PostgreSQL's own directories, elsewhere it is recorded for a warning.
    fn behind(&mut self, found: &Found<'_>, target: &[u8]) -> Result<Option<Stat>> {
        if let Some(behind) =
            self.examine(found.directory, found.name, &found.path, AtFlags::empty())?
        {
            return Ok(Some(behind));
        }
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        match self.examine(found.directory, found.name, &found.path, nofollow)? {
            None => Ok(None),
            Some(_) if is_of_postgres(&self.checked(&found.path)?) => {
                Err(DataDirectoryError::LinkBroken {
                    path: self.shown(&found.path),
                    target: escape_path(target),
                })
            }
            Some(_) => {
                let path = self.checked(&found.path)?;
                self.scan.left_out.push(path);
                Ok(None)
            }
        }
    }

    fn linked_directory(
        &mut self,
        found: &Found<'_>,
        behind: &Stat,
        target: Vec<u8>,
    ) -> Result<()> {
        self.check_not_within_itself(&found.path, behind)?;
        let directory = match openat(found.directory, found.name, DIRECTORY, Mode::empty()) {
            Ok(directory) => directory,
            Err(errno) => return Err(self.unlistable(&found.path, errno)),
        };
        self.push_linked(&found.path, behind, ScannedKind::Directory, target)?;
        if self.tablespaces.contains(&identity(behind)) {
            return Ok(());
        }
        self.followed.push(identity(behind));
        let scanned = self.directory(directory.as_fd(), &found.path, found.depth + 1);
        self.followed.pop();
        scanned
    }

    /// A link to a directory above it would be followed forever.
    pub(super) fn check_not_within_itself(&self, path: &[u8], stat: &Stat) -> Result<()> {
        if self.followed.contains(&identity(stat)) {
            Err(DataDirectoryError::LinkLoop { path: self.shown(path) })
        } else {
            Ok(())
        }
    }

    /// If a link leads to an entry of the data directory, its target relative to the link. The entry may be a link
    /// itself.
    fn target_inside(&self, path: &[u8], target: &[u8]) -> Result<Option<Vec<u8>>> {
        let failed = |source| DataDirectoryError::Examine { path: self.shown(path), source };
        // Below another link, a target relative to the data directory would lead elsewhere.
        if self.followed.len() > 1 {
            return Ok(None);
        }
        let root = fs::canonicalize(self.at).map_err(failed)?;
        let named = self.leads_to(path, target)?;
        let real = match fs::canonicalize(self.shown(path)) {
            Ok(real) => real,
            Err(error) if error.kind() == io::ErrorKind::NotFound => named.clone(),
            Err(error) => return Err(failed(error)),
        };
        let inside = named.strip_prefix(&root).or_else(|_| real.strip_prefix(&root));
        let up = path.iter().filter(|&&byte| byte == b'/').count();
        Ok(inside.ok().map(|inside| relative(up, inside)))
    }
}

/// The path of `inside` relative to a directory `up` levels below the data directory.
fn relative(up: usize, inside: &Path) -> Vec<u8> {
    let up = std::iter::repeat_n(Component::ParentDir, up);
    let all = up.chain(inside.components());
    let path: PathBuf = all.map(|component| component.as_os_str()).collect();
    match path.as_os_str().as_bytes() {
        b"" => b".".to_vec(),
        _ => path.into_os_string().into_vec(),
    }
}
