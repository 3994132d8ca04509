//! Writes a small file of the data directory again, never through a link or into a file that has
//! another name elsewhere.

use std::{
    fs::{OpenOptions, Permissions},
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use rustix::fs::OFlags;

use super::{clean::remove_file, owner::Owner};
use crate::{restore::Error, types::ErrorCode};

/// Writes `bytes` to `path` with exactly these permission bits.
pub(super) fn write(path: &Path, bytes: &[u8], mode: u32, owner: Owner) -> Result<(), Error> {
    remove_file(path)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode).custom_flags(OFlags::NOFOLLOW.bits() as i32);
    let written = options.open(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        Ok(file)
    });
    let file = written.map_err(Error::target("write", path, ErrorCode::FileWrite))?;
    owner.give(&file, path)
}
