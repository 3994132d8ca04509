//! Who owns what is restored. Only root can give files away; anybody else keeps what it makes.

use std::{
    fs::File,
    os::unix::fs::{MetadataExt, fchown, lchown},
    path::Path,
};

use crate::{restore::Error, types::ErrorCode};

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
        match std::fs::metadata(data) {
            Ok(metadata) if metadata.uid() != 0 => Self(Some((metadata.uid(), metadata.gid()))),
            _ => Self(Some(recorded)),
        }
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
