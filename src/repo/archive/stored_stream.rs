//! The stored bytes of an archived file as they come from the store.

use std::io::{self, BufRead, Read};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

use super::{Error, RAW_SIZE_MAX};
use crate::{
    codec::{self, FrameSplitter},
    repo::object_header::{HEADER_LEN, ObjectHeader, ObjectKind},
};

/// The chunks of a download, read as one stream by a thread that may block.
pub(super) struct ChunkReader {
    chunks: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl ChunkReader {
    pub(super) fn new(chunks: mpsc::Receiver<Bytes>) -> Self {
        Self { chunks, current: Bytes::new() }
    }
}

impl BufRead for ChunkReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.is_empty() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.current = chunk,
                None => break,
            }
        }
        Ok(&self.current)
    }

    fn consume(&mut self, amount: usize) {
        self.current.advance(amount);
    }
}

impl Read for ChunkReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let n = available.len().min(buffer.len());
        buffer[..n].copy_from_slice(&available[..n]);
        self.consume(n);
        Ok(n)
    }
}

/// Reads the object header and the raw size, and returns the frames that follow.
pub(super) fn open<R: BufRead>(mut stored: R, object: &str) -> Result<FrameSplitter<R>, Error> {
    let mut start = [0; HEADER_LEN + 8];
    stored.read_exact(&mut start).map_err(|_| Error::wal(object, "it ends within its header"))?;
    let header =
        ObjectHeader::decode(&start, ObjectKind::Wal, object).map_err(|error| match error {
            Error::Format { object, what } => Error::wal(object, what),
            other => other,
        })?;
    let mut raw_size = [0; 8];
    raw_size.copy_from_slice(&start[HEADER_LEN..]);
    let raw_size = u64::from_le_bytes(raw_size);
    // Bounds what a damaged or hostile object can make the reader accept.
    if raw_size > RAW_SIZE_MAX {
        return Err(Error::wal(object, format!("its header declares {raw_size} bytes")));
    }
    FrameSplitter::new(header.compress, stored, raw_size).map_err(|e| damaged(object, e))
}

pub(super) fn damaged(object: &str, source: codec::Error) -> Error {
    Error::Wal { object: object.to_owned(), source: source.into() }
}
