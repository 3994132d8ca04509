//! Reads an archived file and proves every byte of it.
//!
//! Three stages run at once, with few buffers between them: the store is read, frames are
//! decompressed, raw bytes are digested and handed to the sink. The sink sees bytes before they are
//! proven; only an `Ok` of [`WalArchive::read`] says that all of them are right.

use std::{
    io::{self, BufRead, Read},
    sync::mpsc,
};

use bytes::{Buf, Bytes};
use tokio::{sync::mpsc as async_mpsc, task::spawn_blocking};

use super::{Error, RAW_SIZE_MAX, StoredWal, WalArchive};
use crate::{
    codec::{self, FrameReader, Sha256Hasher},
    repo::object_header::{HEADER_LEN, ObjectHeader, ObjectKind},
    storage::{self, Download, ErrorKind},
};

/// Takes the raw bytes of a file as they come.
pub trait RawSink: Send + 'static {
    /// What can go wrong in the sink, or in the archive.
    type Error: From<Error> + Send + 'static;

    /// Takes the next bytes.
    fn accept(&mut self, raw: &[u8]) -> Result<(), Self::Error>;
}

/// Chunks on their way from the store to the decoder.
const STORED_DEPTH: usize = 2;
/// Buffers on their way from the decoder to the sink.
const RAW_DEPTH: usize = 4;
/// Raw bytes in a buffer.
const RAW_STEP: usize = 256 << 10;

/// A decoder that works on chunks from a channel.
type Frames = FrameReader<ChunkReader>;

impl WalArchive {
    /// Reads a file into `sink` and gives the sink back once every byte is proven: the raw size and
    /// the SHA-256 are right, and nothing follows.
    pub async fn read<S: RawSink>(&self, stored: &StoredWal, sink: S) -> Result<S, S::Error> {
        let object = self.name_of(&stored.path);
        let download = self.storage.get(&stored.path).await.map_err(Error::from)?;
        let (stored_tx, stored_rx) = async_mpsc::channel(STORED_DEPTH);
        let (raw_tx, raw_rx) = mpsc::sync_channel(RAW_DEPTH);
        let (back_tx, back_rx) = mpsc::channel();
        let name = object.clone();
        let decoder = spawn_blocking(move || decode(stored_rx, &raw_tx, &back_rx, &name));
        let consumer = spawn_blocking(move || consume(sink, &raw_rx, &back_tx));
        let fed = feed(download, stored_tx, &object).await;
        let decoded = decoder.await.map_err(|e| stopped(&object, &e))?;
        let consumed = consumer.await.map_err(|e| stopped(&object, &e))?;
        fed?;
        let (sink, hasher) = consumed?;
        decoded?;
        hasher.expect(stored.digest).map_err(|_| Error::Damaged { object, what: "SHA-256" })?;
        Ok(sink)
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

fn stopped(object: &str, error: &tokio::task::JoinError) -> Error {
    Error::format(object, format!("the thread that read it stopped: {error}"))
}

async fn feed(
    mut download: Box<dyn Download>,
    chunks: async_mpsc::Sender<Bytes>,
    object: &str,
) -> Result<(), Error> {
    let mut left = download.size();
    while let Some(chunk) = download.next().await? {
        left = left.saturating_sub(chunk.len() as u64);
        if chunks.send(chunk).await.is_err() {
            // The decoder gave up and says why.
            return Ok(());
        }
    }
    // A method may not notice that its last bytes, which carry no content, are missing.
    match left {
        0 => Ok(()),
        _ => Err(storage::Error::new(ErrorKind::Truncated, "read", object).into()),
    }
}

/// Decompresses until the end, or until nobody listens any more.
fn decode(
    chunks: async_mpsc::Receiver<Bytes>,
    raw: &mpsc::SyncSender<Vec<u8>>,
    back: &mpsc::Receiver<Vec<u8>>,
    object: &str,
) -> Result<(), Error> {
    let mut frames = open(ChunkReader { chunks, current: Bytes::new() }, object)?;
    loop {
        let mut buffer = back.try_recv().unwrap_or_default();
        buffer.resize(RAW_STEP, 0);
        let filled = frames.fill(&mut buffer).map_err(|e| damaged(object, &e))?;
        buffer.truncate(filled);
        if filled == 0 || raw.send(buffer).is_err() {
            return Ok(());
        }
    }
}

/// Reads the header and the raw size.
fn open(mut stored: ChunkReader, object: &str) -> Result<Frames, Error> {
    let mut start = [0; HEADER_LEN + 8];
    let short = |_| Error::format(object, "it ends within its header");
    stored.read_exact(&mut start).map_err(short)?;
    let header = ObjectHeader::decode(&start, ObjectKind::Wal, object)?;
    let mut raw_size = [0; 8];
    raw_size.copy_from_slice(&start[HEADER_LEN..]);
    let raw_size = u64::from_le_bytes(raw_size);
    if raw_size > RAW_SIZE_MAX {
        return Err(Error::format(object, format!("it says that it holds {raw_size} bytes")));
    }
    FrameReader::new(header.compress, stored, raw_size).map_err(|e| damaged(object, &e))
}

fn damaged(object: &str, error: &codec::Error) -> Error {
    Error::format(object, error.to_string())
}

/// Digests what comes and hands it on.
fn consume<S: RawSink>(
    mut sink: S,
    raw: &mpsc::Receiver<Vec<u8>>,
    back: &mpsc::Sender<Vec<u8>>,
) -> Result<(S, Sha256Hasher), S::Error> {
    let mut hasher = Sha256Hasher::new();
    while let Ok(buffer) = raw.recv() {
        hasher.update(&buffer);
        sink.accept(&buffer)?;
        // At the end there is no decoder to take it back.
        let _ = back.send(buffer);
    }
    Ok((sink, hasher))
}

/// The chunks of a channel as one stream of bytes.
struct ChunkReader {
    chunks: async_mpsc::Receiver<Bytes>,
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
