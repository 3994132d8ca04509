//! Makes the directories and links of the target, before any file.

use std::{
    fs::{self, DirBuilder, Permissions},
    os::unix::fs::{DirBuilderExt, PermissionsExt, symlink},
    path::Path,
};

use super::{owner::Owner, small_file};
use crate::{
    restore::{
        Error,
        plan::{Layout, MARKER, PlannedDirectory, PlannedLink, RestorePlan},
    },
    types::ErrorCode,
};

/// Its owner must be able to work in a directory.
const MODE_MIN: u32 = 0o700;

/// Makes the data directory and puts the marker in it that a restore is under way.
pub(super) fn begin(plan: &RestorePlan, owner: Owner) -> Result<(), Error> {
    directory(&plan.layout.data, plan.entries.data_mode, owner)?;
    let text = format!("{}\n", plan.manifest.label);
    let marker = plan.layout.data.join(MARKER);
    small_file::write(&marker, text.as_bytes(), plan.entries.file_mode(), owner)
}

/// Makes everything that is not a file: first what is in the data directory, then the links that lead
/// out of it, then what is behind them.
pub(super) fn make(plan: &RestorePlan, owner: Owner) -> Result<(), Error> {
    let (outside, inside): (Vec<_>, Vec<_>) =
        plan.entries.directories.iter().partition(|dir| is_outside(&plan.layout, dir));
    for planned in inside {
        directory(&planned.path.under(&plan.layout.data), planned.mode, owner)?;
    }
    for planned in &plan.layout.links {
        link(&plan.layout, planned, owner)?;
        if planned.is_directory {
            parents(&planned.target, owner)?;
            directory(&planned.target, plan.entries.data_mode, owner)?;
        }
    }
    for planned in outside {
        directory(&plan.layout.resolve(&planned.path), planned.mode, owner)?;
    }
    Ok(())
}

fn is_outside(layout: &Layout, directory: &PlannedDirectory) -> bool {
    layout.resolve(&directory.path) != directory.path.under(&layout.data)
}

fn directory(path: &Path, mode: u32, owner: Owner) -> Result<(), Error> {
    let mode = mode | MODE_MIN;
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Error::target("create", path, ErrorCode::PathCreate)(error)),
    }
    // The umask may have taken bits away, and a directory that was there may have others.
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(Error::target(
        "set the mode of",
        path,
        ErrorCode::FileMode,
    ))?;
    owner.give_path(path)
}

/// Makes the directories above a tablespace or link target.
fn parents(path: &Path, owner: Owner) -> Result<(), Error> {
    let Some(parent) = path.parent().filter(|parent| !parent.exists()) else { return Ok(()) };
    parents(parent, owner)?;
    directory(parent, MODE_MIN, owner)
}

fn link(layout: &Layout, planned: &PlannedLink, owner: Owner) -> Result<(), Error> {
    let path = planned.path.under(&layout.data);
    match symlink(&planned.target, &path) {
        Ok(()) => owner.give_path(&path),
        // What was there and is not this link was removed before.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Error::target("create link", &path, ErrorCode::PathCreate)(error)),
    }
}
