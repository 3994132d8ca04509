//! `--delta --force`: files whose size and time are those of the backup are taken for unchanged without
//! being read.
//!
//! Times count whole seconds, and a file may be written twice in one. So a time only counts where it lies
//! before the second in which the backup began: whatever was written to the file after the backup read
//! it has given it a later one. All other files are compared block by block, as without `--force`.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use super::{cancel::Cancelled, owner::Owner};
use crate::{
    repo::file_list::FileEntry,
    restore::{Error, plan::RestorePlan},
    types::ErrorCode,
};

/// For each file of the plan whether it is taken for unchanged; those get their mode and owner here.
pub(super) fn kept(
    plan: &RestorePlan,
    owner: Owner,
    cancelled: &Cancelled,
) -> Result<Vec<bool>, Error> {
    let began = plan.manifest.timestamp().start;
    let mut kept = Vec::with_capacity(plan.entries.files.len());
    for entry in &plan.entries.files {
        cancelled.check()?;
        let path = plan.layout.resolve(&entry.path);
        let same = entry.mtime < began && has_size_and_time(&path, entry)?;
        if same {
            fs::set_permissions(&path, Permissions::from_mode(entry.mode))
                .map_err(Error::target("set the mode of", &path, ErrorCode::FileMode))?;
            owner.give_path(&path)?;
        }
        kept.push(same);
    }
    Ok(kept)
}

fn has_size_and_time(path: &Path, entry: &FileEntry) -> Result<bool, Error> {
    match fs::symlink_metadata(path) {
        Ok(found) => {
            let same = found.len() == entry.size() && found.mtime() == entry.mtime;
            Ok(found.is_file() && same)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::target("look at", path, ErrorCode::FileInfo)(error)),
    }
}
