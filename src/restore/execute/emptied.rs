//! The files of databases that are left out: of the right size, and nothing but a hole.

use std::{
    fs::{FileTimes, OpenOptions, Permissions},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
};

use rustix::fs::OFlags;

use super::{cancel::Cancelled, file_job::time_of, owner::Owner};
use crate::{
    repo::file_list::FileEntry,
    restore::{Error, plan::RestorePlan},
    types::ErrorCode,
};

/// Makes the files, in place of what is there.
pub(super) fn make(plan: &RestorePlan, owner: Owner, cancelled: &Cancelled) -> Result<(), Error> {
    for entry in &plan.entries.emptied {
        cancelled.check()?;
        one(plan, entry, owner)?;
    }
    Ok(())
}

fn one(plan: &RestorePlan, entry: &FileEntry, owner: Owner) -> Result<(), Error> {
    let path = plan.layout.resolve(&entry.path);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.custom_flags(OFlags::NOFOLLOW.bits() as i32);
    let failed = || Error::target("write", &path, ErrorCode::FileWrite);
    let file = options.open(&path).map_err(failed())?;
    file.set_len(entry.size()).map_err(failed())?;
    file.set_permissions(Permissions::from_mode(entry.mode)).map_err(Error::target(
        "set the mode of",
        &path,
        ErrorCode::FileMode,
    ))?;
    owner.give(&file, &path)?;
    // Not the time of the backup: a later restore by size and time must not take it for the file.
    let times = FileTimes::new().set_modified(time_of(0));
    file.set_times(times).map_err(failed())
}
