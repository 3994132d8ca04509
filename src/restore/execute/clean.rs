//! Removes from the target what the backup does not have there, so that nothing of an older copy is
//! left, and no link of it leads a file astray.

use std::{
    collections::HashMap,
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::Path,
};

use super::{cancel::Cancelled, target::Existing};
use crate::{
    restore::plan::RestorePlan,
    restore::{
        Error,
        plan::{CONTROL_FILE, MARKER, Root},
    },
    types::ErrorCode,
};

/// What the plan has under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Planned<'a> {
    File,
    Directory,
    Link(&'a Path),
}

/// Removes what may not stay in the roots of the plan; the control file always goes, and first.
pub(super) fn clean(
    plan: &RestorePlan,
    existing: Existing,
    cancelled: &Cancelled,
) -> Result<u64, Error> {
    remove_file(&plan.layout.data.join(CONTROL_FILE))?;
    let mut cleaner = Cleaner { planned: planned(plan), existing, cancelled, removed: 0 };
    for root in &plan.layout.roots {
        cleaner.root(root)?;
    }
    Ok(cleaner.removed)
}

fn planned(plan: &RestorePlan) -> HashMap<&[u8], Planned<'_>> {
    let files = plan.entries.files.iter().chain(&plan.entries.emptied);
    let files = files.map(|file| (file.path.as_bytes(), Planned::File));
    let directories =
        plan.entries.directories.iter().map(|dir| (dir.path.as_bytes(), Planned::Directory));
    let links = &plan.layout.links;
    let links = links.iter().map(|link| (link.path.as_bytes(), Planned::Link(&link.target)));
    // A link's path may be listed as a directory or file too: what is at that place is the link.
    files.chain(directories).chain(links).collect()
}

struct Cleaner<'a> {
    planned: HashMap<&'a [u8], Planned<'a>>,
    existing: Existing,
    cancelled: &'a Cancelled,
    removed: u64,
}

impl Cleaner<'_> {
    fn root(&mut self, root: &Root) -> Result<(), Error> {
        match fs::symlink_metadata(&root.directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            _ => {
                let prefix = root.prefix.as_ref().map_or(&b""[..], |prefix| prefix.as_bytes());
                self.directory(&root.directory, prefix)
            }
        }
    }

    fn directory(&mut self, directory: &Path, prefix: &[u8]) -> Result<(), Error> {
        self.cancelled.check()?;
        let failed = || Error::target("list", directory, ErrorCode::PathOpen);
        for entry in fs::read_dir(directory).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            let name = entry.file_name();
            let path = match prefix {
                b"" => name.as_bytes().to_vec(),
                _ => [prefix, b"/", name.as_bytes()].concat(),
            };
            self.entry(&directory.join(&name), &path)?;
        }
        Ok(())
    }

    fn entry(&mut self, place: &Path, path: &[u8]) -> Result<(), Error> {
        let metadata = fs::symlink_metadata(place).map_err(Error::target(
            "look at",
            place,
            ErrorCode::FileInfo,
        ))?;
        let kind = metadata.file_type();
        let stays = match self.planned.get(path) {
            None => path == MARKER.as_bytes(),
            Some(Planned::Directory) if kind.is_dir() => return self.directory(place, path),
            Some(Planned::Directory) => false,
            Some(Planned::Link(target)) => {
                kind.is_symlink() && fs::read_link(place).is_ok_and(|found| found == *target)
            }
            // A file with a second name elsewhere must not be changed in its place.
            Some(Planned::File) => {
                self.existing.reuses() && kind.is_file() && metadata.nlink() == 1
            }
        };
        match stays {
            true => Ok(()),
            false => self.remove(place, kind.is_dir()),
        }
    }

    fn remove(&mut self, place: &Path, is_directory: bool) -> Result<(), Error> {
        self.removed += 1;
        match is_directory {
            true => fs::remove_dir_all(place).map_err(Error::target(
                "remove",
                place,
                ErrorCode::PathRemove,
            )),
            false => remove_file(place),
        }
    }
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
