//! Makes everything that was written survive a power failure.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::PathBuf,
};

use crate::{
    restore::{Error, plan::Layout},
    types::ErrorCode,
};

/// A handle on each file system that a restore writes to. They are opened before anything is
/// written: the kernel tells a handle of the write-back errors since it was opened.
#[derive(Debug)]
pub(super) struct FileSystems(Vec<(PathBuf, File)>);

impl FileSystems {
    /// Opens them; the directories of the layout must exist.
    pub(super) fn of(layout: &Layout) -> Result<Self, Error> {
        let targets = layout.links.iter().filter(|link| link.is_directory);
        let mut found: Vec<(u64, PathBuf, File)> = Vec::new();
        for path in std::iter::once(&layout.data).chain(targets.map(|link| &link.target)) {
            let failed = || Error::target("open", path, ErrorCode::PathOpen);
            let device = fs::metadata(path).map_err(failed())?.dev();
            if found.iter().all(|(known, ..)| *known != device) {
                found.push((device, path.clone(), File::open(path).map_err(failed())?));
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
