//! An object being read.

use std::{
    fs::File,
    io::{self, Read},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Threads, failure::failure, tree::Tree};
use crate::storage::{Download, Error, ErrorKind, ObjectPath, Result};

/// Bytes read in one go; small objects come with the opening.
const CHUNK: u64 = 256 << 10;

pub(super) struct PosixDownload {
    reader: Option<Reader>,
    first: Option<Bytes>,
    size: u64,
    threads: Threads,
}

struct Reader {
    file: File,
    object: String,
    left: u64,
    buffers: Buffers,
}

/// Buffers of chunks that were let go, for the next ones: memory that is new to the process costs more than
/// what is read into it.
#[derive(Clone, Default)]
struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

/// A chunk, which goes back to where it is from.
struct Chunk {
    bytes: Vec<u8>,
    from: Buffers,
}

impl Buffers {
    fn take(&self, len: usize) -> Chunk {
        let mut bytes = self.lock().pop().unwrap_or_default();
        bytes.resize(len, 0);
        Chunk { bytes, from: self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.from.lock().push(std::mem::take(&mut self.bytes));
    }
}

impl PosixDownload {
    pub(super) fn open(tree: &Tree, path: &ObjectPath, threads: Threads) -> Result<Self> {
        let (file, size) = tree.open(path)?;
        let object = format!("{}/{path}", tree.location());
        let mut reader = Reader { file, object, left: size, buffers: Buffers::default() };
        let first = reader.read()?;
        Ok(Self { reader: Some(reader), first, size, threads })
    }
}

impl Reader {
    fn read(&mut self) -> Result<Option<Bytes>> {
        let wanted = self.left.min(CHUNK);
        if wanted == 0 {
            return Ok(None);
        }
        let mut chunk = self.buffers.take(wanted as usize);
        self.file.read_exact(&mut chunk.bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                Error::new(ErrorKind::Truncated, "read", self.object.clone())
            }
            _ => failure("read", self.object.clone(), error),
        })?;
        self.left -= wanted;
        Ok(Some(Bytes::from_owner(chunk)))
    }
}

#[async_trait]
impl Download for PosixDownload {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        match self.reader.take() {
            Some(mut reader) if reader.left > 0 => {
                let read = move || {
                    let chunk = reader.read()?;
                    Ok((reader, chunk))
                };
                let (reader, chunk) = self.threads.run(CHUNK, read).await?;
                self.reader = Some(reader);
                Ok(chunk)
            }
            Some(reader) => {
                self.reader = Some(reader);
                Ok(None)
            }
            None => Err(Error::new(ErrorKind::Other, "read", "an object")
                .caused_by("an earlier read of it failed")),
        }
    }

    fn size(&self) -> u64 {
        self.size
    }
}
