//! The owner of restored files. Only root can change the owner of a file.

use std::{
    fs::File,
    os::unix::fs::{MetadataExt, fchown, lchown},
    path::Path,
};

use crate::{
    restore::{
        Error,
        plan::{Layout, NamedBy},
    },
    types::ErrorCode,
};

/// The user and group that get everything; `None` where they are those who run the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner(Option<(u32, u32)>);

impl Owner {
    /// The owner for a restore into `data`: as root, the owner of the directory that is there unless
    /// that is root too, else the `recorded` user and group.
    pub(super) fn for_target(data: &Path, recorded: (u32, u32)) -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self(None);
        }
        Self(Some(of_directory(data).unwrap_or(recorded)))
    }

    /// Gives an open file away.
    pub(super) fn give(self, file: &File, path: &Path) -> Result<(), Error> {
        let Some((uid, gid)) = self.0 else { return Ok(()) };
        fchown(file, Some(uid), Some(gid)).map_err(Error::target(
            "set the owner of",
            path,
            ErrorCode::FileOwner,
        ))
    }

    /// Gives a directory or link away, the link itself and not what it leads to.
    pub(super) fn give_path(self, path: &Path) -> Result<(), Error> {
        let Some((uid, gid)) = self.0 else { return Ok(()) };
        lchown(path, Some(uid), Some(gid)).map_err(Error::target(
            "set the owner of",
            path,
            ErrorCode::FileOwner,
        ))
    }
}

/// The owner of a data directory that is there, unless that is root.
fn of_directory(data: &Path) -> Option<(u32, u32)> {
    let metadata = std::fs::metadata(data).ok()?;
    (metadata.uid() != 0).then(|| (metadata.uid(), metadata.gid()))
}

/// What is dangerous about restoring this plan as root: nothing keeps root from doing what a repository that
/// somebody tampered with says.
pub(super) fn dangers_as_root(layout: &Layout, (uid, gid): (u32, u32)) -> Vec<String> {
    let mut dangers = Vec::new();
    if of_directory(&layout.data).is_none() {
        let root = if uid == 0 { ", as which PostgreSQL does not start" } else { "" };
        dangers.push(format!(
            "the restore runs as root, and files will belong to user {uid} and group {gid} because \
             the backup says so{root}: create the data directory with the right owner before, or \
             run the restore as that user"
        ));
    }
    for place in layout.outside().iter().filter(|place| place.named_by == NamedBy::Backup) {
        dangers.push(format!(
            "the restore runs as root and writes to '{}' because the backup says so: make sure \
             that this path belongs to this cluster, or run the restore as the user of PostgreSQL",
            place.path.display()
        ));
    }
    dangers
}
