//! Reads an archived file and proves every byte of it.
//!
//! The store is read on the thread that asks, and a few others take pieces of the file through all
//! that is to be done with them: undo the frame, digest the raw bytes, hand them to the sink. Each
//! thread has one piece at a time; digest and sink get the pieces in order (see [`InTurn`]). The sink
//! sees bytes before all are proven; only an `Ok` of [`WalArchive::read`] says that they are right.

use std::{
    io::{self, BufRead, Read},
    sync::Arc,
};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

use super::{Error, RAW_SIZE_MAX, StoredWal, WalArchive, line::Line};
use crate::{
    codec::{self, PieceReader},
    repo::{
        WalFault,
        object_header::{HEADER_LEN, ObjectHeader, ObjectKind},
    },
    storage::{self, Download, ErrorKind},
    work::{Pool, Promised},
};

/// Takes the raw bytes of a file as they come.
pub trait RawSink: Send + 'static {
    /// What can go wrong in the sink, or in the archive.
    type Error: From<Error> + Send + 'static;

    /// Says how many bytes will come, where that is known before.
    fn expect(&mut self, _raw_size: u64) {}

    /// Takes the next bytes.
    fn accept(&mut self, raw: &[u8]) -> Result<(), Self::Error>;
}

/// Chunks on their way from the store to the threads.
const STORED_DEPTH: usize = 2;
/// Threads for one file. More would not help: the digest, of which one piece follows the other, is almost
/// half of the work.
const THREADS: usize = 2;

impl WalArchive {
    /// Reads a file into `sink` and gives the sink back once every byte is proven: the raw size and
    /// the SHA-256 are right, and nothing follows.
    pub async fn read<S: RawSink>(&self, stored: &StoredWal, sink: S) -> Result<S, S::Error> {
        let download = self.storage.get(&stored.path).await.map_err(Error::from)?;
        self.read_from(stored, download, sink).await
    }

    /// The same from a download of the file's object.
    pub async fn read_from<S: RawSink>(
        &self,
        stored: &StoredWal,
        download: Box<dyn Download>,
        sink: S,
    ) -> Result<S, S::Error> {
        let object = self.name_of(&stored.path);
        let (chunks_tx, chunks) = mpsc::channel(STORED_DEPTH);
        let chunks = ChunkReader { chunks, current: Bytes::new() };
        let line = Arc::new(Line::new(chunks, sink, object.clone()));
        let pool = Pool::start("wal", [(); THREADS], THREADS).map_err(Error::from)?;
        let mut working = Vec::with_capacity(THREADS);
        for _ in 0..THREADS {
            let line = Arc::clone(&line);
            working.push(pool.give(move |()| line.work()).await.map_err(Error::from)?);
        }
        let fed = feed(download, chunks_tx, &object).await;
        let worked = all(working).await;
        fed?;
        worked?;
        let unfinished = || Error::Bug { what: "a WAL file was read, and not to its end" };
        let line = Arc::into_inner(line).ok_or_else(unfinished)?;
        let (hasher, sink) = line.into_parts().ok_or_else(unfinished)?;
        let proven = hasher.expect(stored.digest);
        proven.map_err(|_| Error::Wal { object, source: WalFault::Digest })?;
        Ok(sink)
    }

    /// Opens the object of a file.
    pub async fn open(&self, stored: &StoredWal) -> Result<Box<dyn Download>, Error> {
        Ok(self.storage.get(&stored.path).await?)
    }

    /// Reads a small file, such as a timeline's history, whole; more than `limit` bytes are an error.
    pub async fn read_small(&self, stored: &StoredWal, limit: usize) -> Result<Vec<u8>, Error> {
        let sink = Collect { bytes: Vec::new(), limit, object: self.name_of(&stored.path) };
        Ok(self.read(stored, sink).await?.bytes)
    }

    /// Reads a file and proves it, for nothing but the proof.
    pub async fn verify(&self, stored: &StoredWal) -> Result<(), Error> {
        self.read(stored, Discard).await.map(|_| ())
    }
}

async fn feed(
    mut download: Box<dyn Download>,
    chunks: mpsc::Sender<Bytes>,
    object: &str,
) -> Result<(), Error> {
    let mut left = download.size();
    while let Some(chunk) = download.next().await? {
        left = left.saturating_sub(chunk.len() as u64);
        if chunks.send(chunk).await.is_err() {
            // The threads gave up and say why.
            return Ok(());
        }
    }
    // A method may not notice that its last bytes, which carry no content, are missing.
    match left {
        0 => Ok(()),
        _ => Err(storage::Error::new(ErrorKind::Truncated, "read", object).into()),
    }
}

/// Waits for all threads; the first error is that of the file.
async fn all<E: From<Error>>(working: Vec<Promised<Result<(), E>>>) -> Result<(), E> {
    let mut all = Ok(());
    for working in working {
        let worked = working.await.unwrap_or_else(|error| Err(Error::from(error).into()));
        all = all.and(worked);
    }
    all
}

/// Reads the header and the raw size.
pub(super) fn open<R: BufRead>(mut stored: R, object: &str) -> Result<PieceReader<R>, Error> {
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
    if raw_size > RAW_SIZE_MAX {
        return Err(Error::wal(object, format!("it says that it holds {raw_size} bytes")));
    }
    PieceReader::new(header.compress, stored, raw_size).map_err(|e| damaged(object, e))
}

pub(super) fn damaged(object: &str, source: codec::Error) -> Error {
    Error::Wal { object: object.to_owned(), source: source.into() }
}

/// The chunks of a channel as one stream of bytes.
pub(super) struct ChunkReader {
    chunks: mpsc::Receiver<Bytes>,
    current: Bytes,
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

struct Collect {
    bytes: Vec<u8>,
    limit: usize,
    object: String,
}

impl RawSink for Collect {
    type Error = Error;

    fn accept(&mut self, raw: &[u8]) -> Result<(), Error> {
        if self.bytes.len() + raw.len() > self.limit {
            return Err(Error::format(&self.object, "it is larger than such a file can be"));
        }
        self.bytes.extend_from_slice(raw);
        Ok(())
    }
}

struct Discard;

impl RawSink for Discard {
    type Error = Error;

    fn accept(&mut self, _raw: &[u8]) -> Result<(), Error> {
        Ok(())
    }
}
