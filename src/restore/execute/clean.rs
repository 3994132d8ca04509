//! Removes from the target what the backup does not have there, so that nothing of an older copy is
//! left, and no link of it leads a file astray.

use std::{
    collections::HashMap,
    ffi::OsString,
    fs::{self, Metadata},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use super::{cancel::Cancelled, durable::sync, existing::Existing, linked_files, mend};
use crate::{
    restore::{
        Error,
        plan::{CONTROL_FILE, Layout, MARKER, PlannedLink, RestorePlan, Root},
    },
    types::{DataPath, ErrorCode},
};

/// What the plan has under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Planned<'a> {
    File,
    Directory,
    Link(&'a PlannedLink),
    InnerLink(&'a Path),
}

/// What may not stay in the roots of the plan.
#[derive(Debug, Default)]
pub(super) struct Removals(Vec<Removal>);

#[derive(Debug)]
struct Removal {
    path: PathBuf,
    is_directory: bool,
}

/// Finds what must go, and gives the user of this program the rights to change the rest. Removes nothing: a tree that
/// cannot be restored into is found while its cluster can still be started.
pub(super) fn find(
    plan: &RestorePlan,
    existing: Existing,
    cancelled: &Cancelled,
) -> Result<Removals, Error> {
    let mut finder = Finder {
        layout: &plan.layout,
        planned: planned(plan),
        existing,
        cancelled,
        is_exact: true,
        found: Removals::default(),
    };
    for root in &plan.layout.roots {
        finder.root(root)?;
    }
    for link in plan.layout.links.iter().filter(|link| !link.is_directory) {
        finder.linked_file(link)?;
    }
    Ok(finder.found)
}

/// Removes the control file, durably: after a power failure it must not be back among files that were
/// overwritten later.
pub(super) fn withdraw_control_file(plan: &RestorePlan) -> Result<(), Error> {
    let control = plan.layout.data.join(CONTROL_FILE);
    remove_file(&control)?;
    match control.parent().map(fs::symlink_metadata) {
        // There was no control file either.
        Some(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => sync(&plan.layout.data),
        _ => sync(control.parent().unwrap_or(&plan.layout.data)),
    }
}

impl Removals {
    /// Removes it all; says how many files, links and directories that were.
    pub(super) fn remove(self, cancelled: &Cancelled) -> Result<usize, Error> {
        for Removal { path, is_directory } in &self.0 {
            cancelled.check()?;
            match is_directory {
                true => fs::remove_dir_all(path).map_err(Error::target(
                    "remove",
                    path,
                    ErrorCode::PathRemove,
                ))?,
                false => remove_file(path)?,
            }
        }
        Ok(self.0.len())
    }
}

fn planned(plan: &RestorePlan) -> HashMap<&[u8], Planned<'_>> {
    let files = plan.entries.files.iter().chain(&plan.entries.emptied);
    let files = files.map(|file| (file.path.as_bytes(), Planned::File));
    let directories =
        plan.entries.directories.iter().map(|dir| (dir.path.as_bytes(), Planned::Directory));
    let links = &plan.layout.links;
    let links = links.iter().map(|link| (link.path.as_bytes(), Planned::Link(link)));
    let inner = plan.layout.inner.iter();
    let inner = inner.map(|(path, target)| (path.as_bytes(), Planned::InnerLink(target)));
    // A link's path may be listed as a directory or file too: what is at that place is the link.
    files.chain(directories).chain(links).chain(inner).collect()
}

struct Finder<'a> {
    layout: &'a Layout,
    planned: HashMap<&'a [u8], Planned<'a>>,
    existing: Existing,
    cancelled: &'a Cancelled,
    /// Whether what the backup does not have is removed from the root that is being looked at.
    is_exact: bool,
    found: Removals,
}

impl Finder<'_> {
    fn root(&mut self, root: &Root) -> Result<(), Error> {
        match fs::symlink_metadata(&root.directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            _ => {
                let metadata = look_at(&root.directory)?;
                self.is_exact = root.is_exact;
                // A directory that others use too keeps its mode and its owner.
                if root.is_exact {
                    mend::directory(&root.directory, &metadata)?;
                }
                let prefix = root.prefix.as_ref().map_or(&b""[..], |prefix| prefix.as_bytes());
                self.directory(&root.directory, prefix)
            }
        }
    }

    fn directory(&mut self, directory: &Path, prefix: &[u8]) -> Result<(), Error> {
        self.cancelled.check()?;
        for name in names_in(directory)? {
            let path = match prefix {
                b"" => name.as_bytes().to_vec(),
                _ => [prefix, b"/", name.as_bytes()].concat(),
            };
            // It goes before all others.
            if path != CONTROL_FILE.as_bytes() {
                self.entry(directory.join(&name), &path)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, place: PathBuf, path: &[u8]) -> Result<(), Error> {
        let metadata = fs::symlink_metadata(&place).map_err(Error::target(
            "look at",
            &place,
            ErrorCode::FileInfo,
        ))?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            mend::directory(&place, &metadata)?;
        }
        let stays = match self.planned.get(path) {
            None => self.stays_without_backup(path, &metadata),
            Some(Planned::Directory) if kind.is_dir() => return self.directory(&place, path),
            Some(Planned::Directory) => false,
            Some(Planned::Link(link)) => {
                let leads_to = |found: PathBuf| self.layout.leads_to(link, &found);
                kind.is_symlink() && fs::read_link(&place).is_ok_and(leads_to)
            }
            Some(Planned::InnerLink(target)) => {
                kind.is_symlink() && fs::read_link(&place).is_ok_and(|found| found == **target)
            }
            Some(Planned::File) => self.existing.reuses() && is_usable(&metadata),
        };
        if !stays {
            self.remove(place, kind.is_dir())?;
        } else if kind.is_file() {
            mend::file(&place, &metadata)?;
        }
        Ok(())
    }

    /// Whether what the backup does not have may stay.
    fn stays_without_backup(&self, path: &[u8], metadata: &Metadata) -> bool {
        let is_staying_link = || {
            let path = DataPath::new(path);
            metadata.is_symlink() && path.is_ok_and(|path| self.layout.staying.contains(&path))
        };
        path == MARKER.as_bytes() || !self.is_exact || is_staying_link()
    }

    /// The file behind a link: it is completed where it is, or made again.
    fn linked_file(&mut self, link: &PlannedLink) -> Result<(), Error> {
        let Some(metadata) = linked_files::look_at(link)? else { return Ok(()) };
        match self.existing.reuses() && is_usable(&metadata) {
            true => mend::file(&link.target, &metadata),
            false => self.remove(link.target.clone(), false),
        }
    }

    fn remove(&mut self, path: PathBuf, is_directory: bool) -> Result<(), Error> {
        if is_directory {
            self.mend_below(&path)?;
        }
        self.found.0.push(Removal { path, is_directory });
        Ok(())
    }

    /// What is in a directory can be removed only by who may write to it.
    fn mend_below(&self, directory: &Path) -> Result<(), Error> {
        self.cancelled.check()?;
        for name in names_in(directory)? {
            let place = directory.join(name);
            let metadata = fs::symlink_metadata(&place).map_err(Error::target(
                "look at",
                &place,
                ErrorCode::FileInfo,
            ))?;
            if metadata.is_dir() {
                mend::directory(&place, &metadata)?;
                self.mend_below(&place)?;
            }
        }
        Ok(())
    }
}

/// Whether a file may be changed in its place: one with a second name elsewhere may not, and one of another
/// user is better made again.
fn is_usable(metadata: &Metadata) -> bool {
    metadata.is_file() && metadata.nlink() == 1 && mend::is_ours(metadata)
}

fn look_at(path: &Path) -> Result<Metadata, Error> {
    fs::metadata(path).map_err(Error::target("look at", path, ErrorCode::FileInfo))
}

fn names_in(directory: &Path) -> Result<Vec<OsString>, Error> {
    let failed = || Error::target("list", directory, ErrorCode::PathOpen);
    let entries = fs::read_dir(directory).map_err(failed())?;
    entries.map(|entry| entry.map(|entry| entry.file_name()).map_err(failed())).collect()
}

/// Removes a file or link, which may be gone already.
pub(super) fn remove_file(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::target("remove", path, ErrorCode::FileRemove)(error))
        }
        _ => Ok(()),
    }
}
