//! A file of the data directory that workers read piece by piece.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{Arc, OnceLock},
};

use super::catalogs::Vanished;
use crate::{
    backup::{Error, source::FileBytes},
    postgres::DataDirectory,
    types::DataPath,
};

/// A relation file. Opened when its first piece is read: a frame can hold thousands of small files.
#[derive(Debug)]
pub(super) struct LocalFile {
    directory: Arc<DataDirectory>,
    path: DataPath,
    size: u64,
    /// Kept open between the pieces of a file that has several, so that all are of one file; `None` where
    /// the file was gone.
    opened: OnceLock<Option<File>>,
    vanished: Arc<Vanished>,
}

impl LocalFile {
    /// The file at `path`, `size` bytes long.
    pub(super) fn new(
        directory: Arc<DataDirectory>,
        path: DataPath,
        size: u64,
        vanished: Arc<Vanished>,
    ) -> Self {
        Self { directory, path, size, opened: OnceLock::new(), vanished }
    }

    fn open(&self) -> Result<Option<File>, Error> {
        let opened = self.directory.open_file(&self.path)?;
        if opened.is_none() {
            self.vanished.note(&self.path);
        }
        Ok(opened)
    }
}

impl FileBytes for LocalFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let failed = |source| self.directory.read_error(&self.path, source);
        if buffer.len() as u64 == self.size {
            return Ok(fill(self.open()?.as_ref(), offset, buffer).map_err(failed)?);
        }
        let file = match self.opened.get() {
            Some(file) => file,
            None => {
                let file = self.open()?;
                self.opened.get_or_init(|| file)
            }
        };
        Ok(fill(file.as_ref(), offset, buffer).map_err(failed)?)
    }
}

/// Fills `buffer` from `offset` on; behind the file's end, and where there is no file, with zeros.
pub(super) fn fill(file: Option<&File>, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while let Some(file) = file.filter(|_| filled < buffer.len()) {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer[filled..].fill(0);
    Ok(())
}
