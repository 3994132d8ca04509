//! Makes the directories and links of the target, before any file.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, Permissions},
    os::unix::fs::{DirBuilderExt, PermissionsExt, symlink},
    path::Path,
};

use super::{durable::sync, owner::Owner, small_file};
use crate::{
    postgres::is_of_postgres,
    restore::{
        Error,
        plan::{Layout, MARKER, PlannedLink, RestorePlan},
    },
    types::{DataPath, ErrorCode},
};

/// Its owner must be able to work in a directory.
const MODE_MIN: u32 = 0o700;

/// Makes the data directory and puts the marker in it that a restore is under way. The marker is durable before
/// anything else changes: where `PG_VERSION` is gone, it is what says that this is a data directory.
pub(super) fn begin(plan: &RestorePlan, owner: Owner) -> Result<(), Error> {
    let data = &plan.layout.data;
    directory(data, plan.entries.data_mode, owner)?;
    let marker = data.join(MARKER);
    let has_marker = fs::symlink_metadata(&marker).is_ok_and(|metadata| metadata.is_file());
    // The one of a restore that was interrupted stays: writing it again would take it away for a moment.
    if !has_marker {
        let text = format!("{}\n", plan.manifest.label);
        small_file::write(&marker, text.as_bytes(), plan.entries.file_mode(), owner)?;
    }
    sync(&marker)?;
    sync(data)
}

/// Makes everything that is not a file, parents before children: a link may be in a directory that is itself behind a
/// link.
pub(super) fn make(plan: &RestorePlan, owner: Owner) -> Result<(), Error> {
    let Layout { data, links, inner, .. } = &plan.layout;
    let mut places: BTreeMap<&DataPath, (Option<&PlannedLink>, Option<u32>)> = BTreeMap::new();
    for directory in &plan.entries.directories {
        places.entry(&directory.path).or_default().1 = Some(directory.mode);
    }
    for planned in links {
        places.entry(&planned.path).or_default().0 = Some(planned);
    }
    for (path, (planned, mode)) in places {
        match (planned, mode) {
            (Some(planned), mode) => link(plan, planned, mode, owner)?,
            (None, Some(mode)) => directory(&plan.layout.resolve(path), mode, owner)?,
            (None, None) => {}
        }
    }
    inner.iter().try_for_each(|(path, target)| make_link(target, &path.under(data), owner))
}

/// Makes a link and, for a directory, what it leads to.
fn link(
    plan: &RestorePlan,
    planned: &PlannedLink,
    mode: Option<u32>,
    owner: Owner,
) -> Result<(), Error> {
    make_link(&planned.target, &planned.path.under(&plan.layout.data), owner)?;
    match planned.is_directory {
        true => link_target(&plan.layout, planned, mode.unwrap_or(plan.entries.data_mode), owner),
        false => parents(&planned.target, owner),
    }
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

/// Makes the directory that a link leads to. One that is there gets mode and owner only where it is in the place of
/// one of PostgreSQL's own and holds nothing else: it may be a directory of the system, which the backup names.
fn link_target(
    layout: &Layout,
    planned: &PlannedLink,
    mode: u32,
    owner: Owner,
) -> Result<(), Error> {
    let target = &planned.target;
    let failed = || Error::target("list", target, ErrorCode::PathOpen);
    let entries = match fs::read_dir(target) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            parents(target, owner)?;
            return directory(target, mode, owner);
        }
        other => other.map_err(failed())?,
    };
    if !is_of_postgres(&planned.path) {
        return Ok(());
    }
    for entry in entries {
        let path = entry.map_err(failed())?.path();
        let ours = path.file_name() == Some("lost+found".as_ref())
            || layout.roots.iter().any(|root| path.starts_with(&root.directory));
        if !ours {
            tracing::warn!(
                "'{}' keeps its owner and mode, because it contains '{}', which is not in the \
                 backup",
                target.display(),
                path.display()
            );
            return Ok(());
        }
    }
    directory(target, mode, owner)
}

/// Makes the directories above a tablespace or link target.
fn parents(path: &Path, owner: Owner) -> Result<(), Error> {
    let Some(parent) = path.parent().filter(|parent| !parent.exists()) else { return Ok(()) };
    parents(parent, owner)?;
    directory(parent, MODE_MIN, owner)
}

fn make_link(target: &Path, path: &Path, owner: Owner) -> Result<(), Error> {
    match symlink(target, path) {
        Ok(()) => owner.give_path(path),
        // What was there and is not this link was removed before.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Error::target("create link", path, ErrorCode::PathCreate)(error)),
    }
}
