//! Configuration files in memory, for tests of this module and of the command line.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use super::files::ConfigFiles;

/// Texts by path, and the paths that every user may read.
#[derive(Default)]
pub(crate) struct MemoryFiles {
    files: BTreeMap<PathBuf, Vec<u8>>,
    world_readable: Vec<PathBuf>,
}

impl MemoryFiles {
    pub(crate) fn with(mut self, path: &str, content: &str) -> Self {
        self.files.insert(path.into(), content.into());
        self
    }

    pub(crate) fn with_bytes(mut self, path: &str, content: &[u8]) -> Self {
        self.files.insert(path.into(), content.into());
        self
    }

    pub(crate) fn world_readable(mut self, path: &str) -> Self {
        self.world_readable.push(path.into());
        self
    }
}

impl ConfigFiles for MemoryFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.files.get(path).cloned().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let found: Vec<_> =
            self.files.keys().rev().filter(|file| file.parent() == Some(path)).cloned().collect();
        if found.is_empty() { Err(ErrorKind::NotFound.into()) } else { Ok(found) }
    }

    fn is_world_readable(&self, path: &Path) -> bool {
        self.world_readable.iter().any(|readable| readable == path)
    }
}
