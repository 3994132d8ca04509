//! Files of the backup that go behind a link, outside of every directory that the restore owns.

use std::{
    fs::{self, Metadata},
    io,
};

use super::existing::Existing;
use crate::{
    restore::{
        Error,
        plan::{Layout, PlannedLink},
    },
    types::ErrorCode,
};

/// Checks that the file behind a link may be written; `Ok` says whether it is there.
pub(super) fn check(
    layout: &Layout,
    link: &PlannedLink,
    existing: Existing,
) -> Result<bool, Error> {
    let Some(found) = look_at(link)? else { return Ok(false) };
    let target = link.target.display();
    if !found.is_file() {
        let what = format!("'{}' cannot point to '{target}': it is not a regular file", link.path);
        let hint = "map the link to another file with link-map";
        return Err(Error::refused(ErrorCode::LinkDestination, what, hint));
    }
    let what = format!("unable to restore to '{target}' because the file exists");
    if existing == Existing::Refuse {
        let hint = "use --delta or --force to replace it";
        return Err(Error::refused(ErrorCode::PathNotEmpty, what, hint));
    }
    match layout.is_in_place(link) {
        true => Ok(true),
        false => Err(Error::refused(
            ErrorCode::PathNotEmpty,
            what,
            "no link in the data directory points there, so it may belong to another cluster: map \
             the link to another file, or remove the file by hand",
        )),
    }
}

/// What is behind the link of a file; a link there is not followed.
pub(super) fn look_at(link: &PlannedLink) -> Result<Option<Metadata>, Error> {
    match fs::symlink_metadata(&link.target) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::target("look at", &link.target, ErrorCode::FileInfo)(error)),
    }
}
