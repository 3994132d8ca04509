//! Gives back the permissions that a restore over existing files needs, before anything is removed: PostgreSQL's
//! own files always have them, and a `chmod` gone wrong must not end a restore half way.

use std::{
    fs::{self, Metadata, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use crate::{restore::Error, types::ErrorCode};

const DIRECTORY_BITS: u32 = 0o700;
const FILE_BITS: u32 = 0o600;

/// Whether the user of this program may change mode and content.
pub(super) fn is_ours(metadata: &Metadata) -> bool {
    let me = rustix::process::geteuid();
    me.is_root() || metadata.uid() == me.as_raw()
}

/// Makes sure that a directory can be listed and changed.
pub(super) fn directory(path: &Path, metadata: &Metadata) -> Result<(), Error> {
    if !is_ours(metadata) {
        return Err(Error::refused(
            ErrorCode::FileOwner,
            format!(
                "'{}' belongs to user {}, not to the user of this program",
                path.display(),
                metadata.uid()
            ),
            "nothing was changed: give the directory to the owner of the data directory (chown), or \
             remove it",
        ));
    }
    add(path, metadata, DIRECTORY_BITS)
}

/// Makes sure that a file can be read and written.
pub(super) fn file(path: &Path, metadata: &Metadata) -> Result<(), Error> {
    add(path, metadata, FILE_BITS)
}

fn add(path: &Path, metadata: &Metadata, bits: u32) -> Result<(), Error> {
    let mode = metadata.mode() & 0o7777;
    if mode & bits == bits {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(mode | bits)).map_err(Error::target(
        "set the mode of",
        path,
        ErrorCode::FileMode,
    ))
}
