//! Makes everything that was written survive a power failure.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::{
    restore::{Error, plan::RestorePlan},
    types::ErrorCode,
};

/// A handle on each file system that a restore writes to. They are opened before anything is
/// written: the kernel tells a handle of the write-back errors since it was opened.
#[derive(Debug)]
pub(super) struct FileSystems(Vec<(PathBuf, File)>);

impl FileSystems {
    /// Opens them; the directories of the plan must exist. Any of them may be a mount point, as `pg_wal` often is.
    pub(super) fn of(plan: &RestorePlan) -> Result<Self, Error> {
        let layout = &plan.layout;
        let inside = plan.entries.directories.iter().map(|dir| layout.resolve(&dir.path));
        let behind_links = layout.links.iter().filter_map(|link| match link.is_directory {
            true => Some(link.target.clone()),
            false => link.target.parent().map(Path::to_owned),
        });
        let all = std::iter::once(layout.data.clone()).chain(inside).chain(behind_links);
        let mut found: Vec<(u64, PathBuf, File)> = Vec::new();
        for path in all {
            let failed = || Error::target("open", &path, ErrorCode::PathOpen);
            let device = match fs::metadata(&path) {
                Ok(metadata) => metadata.dev(),
                // The directory of a linked file that is not there makes writing the file fail.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed()(error)),
            };
            if found.iter().all(|(known, ..)| *known != device) {
                let file = File::open(&path).map_err(failed())?;
                found.push((device, path, file));
            }
        }
        Ok(Self(found.into_iter().map(|(_, path, file)| (path, file)).collect()))
    }

    /// Waits until all that was written is on disk.
    pub(super) fn sync(&self) -> Result<(), Error> {
        for (path, file) in &self.0 {
            rustix::fs::syncfs(file)
                .map_err(|errno| Error::target("sync", path, ErrorCode::PathSync)(errno.into()))?;
        }
        Ok(())
    }
}

/// Waits until a file, or the names in a directory, are on disk.
pub(super) fn sync(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|file| file.sync_all()).map_err(Error::target(
        "sync",
        path,
        ErrorCode::PathSync,
    ))
}
