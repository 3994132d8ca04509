//! Reads an archived file and verifies every byte of it.
//!
//! The calling task downloads the object; [`THREADS`] threads decompress its frames (see `parallel_read`). The sink
//! receives bytes before all of them are verified: only an `Ok` of [`WalArchive::read`] says that they are right.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{
    Error, StoredWal, WalArchive,
    parallel_read::ParallelRead,
    sink::{Collect, Discard, RawSink},
    stored_stream::ChunkReader,
};
use crate::{
    repo::WalFault,
    storage::{self, Download, ErrorKind},
    work::{Pool, Promised},
};

/// Downloaded chunks that wait for a thread.
const QUEUED_CHUNKS_MAX: usize = 2;
/// Threads for one file. More would not help: SHA-256 is serial and almost half of the work.
const THREADS: usize = 2;

impl WalArchive {
    /// Reads a file into `sink`. Returns the sink only if the raw size and the SHA-256 match and nothing follows.
    pub async fn read<S: RawSink>(&self, stored: &StoredWal, sink: S) -> Result<S, S::Error> {
        let download = self.storage.get(&stored.path).await.map_err(Error::from)?;
        self.read_from(stored, download, sink).await
    }

    /// [`Self::read`] from a download of the file's object that was opened before.
    pub async fn read_from<S: RawSink>(
        &self,
        stored: &StoredWal,
        download: Box<dyn Download>,
        sink: S,
    ) -> Result<S, S::Error> {
        let object = self.name_of(&stored.path);
        let (chunks_tx, chunks) = mpsc::channel(QUEUED_CHUNKS_MAX);
        let read = Arc::new(ParallelRead::new(ChunkReader::new(chunks), sink, object.clone()));
        let pool = Pool::start("wal", [(); THREADS], THREADS).map_err(Error::from)?;
        let mut threads = Vec::with_capacity(THREADS);
        for _ in 0..THREADS {
            let read = Arc::clone(&read);
            threads.push(pool.give(move |()| read.run_thread()).await.map_err(Error::from)?);
        }
        let downloaded = feed(download, chunks_tx, &object).await;
        let decompressed = join(threads).await;
        // A failed download also looks like damage to the threads: its error is the cause.
        downloaded?;
        decompressed?;
        let unfinished = || Error::Bug { what: "reading a WAL file ended before its last frame" };
        let read = Arc::into_inner(read).ok_or_else(unfinished)?;
        let (hasher, sink) = read.into_parts().ok_or_else(unfinished)?;
        let verified = hasher.expect(stored.digest);
        verified.map_err(|_| Error::Wal { object, source: WalFault::Digest })?;
        Ok(sink)
    }

    pub async fn open(&self, stored: &StoredWal) -> Result<Box<dyn Download>, Error> {
        Ok(self.storage.get(&stored.path).await?)
    }

    /// Reads a small file, such as a timeline history file, into memory; more than `limit` bytes are an error.
    pub async fn read_small(&self, stored: &StoredWal, limit: usize) -> Result<Vec<u8>, Error> {
        let sink = Collect { bytes: Vec::new(), limit, object: self.name_of(&stored.path) };
        Ok(self.read(stored, sink).await?.bytes)
    }

    /// Reads a file only to verify it.
    pub async fn verify(&self, stored: &StoredWal) -> Result<(), Error> {
        self.read(stored, Discard).await.map(|_| ())
    }
}

/// Passes the download to the threads; ends early when they have failed.
async fn feed(
    mut download: Box<dyn Download>,
    chunks: mpsc::Sender<Bytes>,
    object: &str,
) -> Result<(), Error> {
    let mut left = download.size();
    while let Some(chunk) = download.next().await? {
        left = left.saturating_sub(chunk.len() as u64);
        if chunks.send(chunk).await.is_err() {
            // The threads closed the channel; they return the error.
            return Ok(());
        }
    }
    // A decompressor may not notice that trailing bytes without content (a checksum, an end mark) are missing.
    match left {
        0 => Ok(()),
        _ => Err(storage::Error::new(ErrorKind::Truncated, "read", object).into()),
    }
}

/// Waits for all threads; returns the first error.
async fn join<E: From<Error>>(threads: Vec<Promised<Result<(), E>>>) -> Result<(), E> {
    let mut joined = Ok(());
    for thread in threads {
        let result = thread.await.unwrap_or_else(|error| Err(Error::from(error).into()));
        joined = joined.and(result);
    }
    joined
}
