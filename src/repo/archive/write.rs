//! Writes a file into the archive.
//!
//! One thread reads and digests, others compress the pieces as frames, and the frames go to the store
//! in order. The object's name holds the digest, so the store can only be opened once the digest is
//! known: a file of usual size is kept in memory until then, and a large one is read twice. In both
//! cases the object is finished only if the digest of the very bytes that were compressed is the one
//! in its name.

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::{Error, FRAME_RAW_SIZE, StoredWal, WalArchive};
use crate::{
    codec::{self, Compressor, Sha256Hasher},
    repo::object_header::{HEADER_LEN, ObjectHeader, ObjectKind},
    storage::{self, ErrorKind, Upload},
    types::{ArchiveFile, Compression, Sha256},
    work::{Giver, Pool, Promised},
};

/// Gives the raw bytes of a file; it may be read more than once.
pub trait RawSource: Send + 'static {
    /// What can go wrong in the source, or in the archive.
    type Error: From<Error> + Send + 'static;

    /// Replaces the content of `buffer` by the next `limit` bytes; fewer only at the end.
    fn fill(&mut self, buffer: &mut Vec<u8>, limit: usize) -> Result<(), Self::Error>;

    /// Goes back to the start.
    fn rewind(&mut self) -> Result<(), Self::Error>;

    /// The error that says the file was not the same in two readings, or changed its size.
    fn changed(&self) -> Self::Error;
}

/// How a file is written.
#[derive(Clone, Copy, Debug)]
pub struct PutOptions {
    /// How frames are compressed.
    pub compression: Compression,
    /// How many threads compress at once; one at least.
    pub workers: usize,
    /// The size of the file in bytes.
    pub raw_size: u64,
}

/// What became of a file that was to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// It was stored, durably.
    Stored(StoredWal),
    /// The same bytes were in the archive already; they were read and are right, and durable.
    Existed(StoredWal),
}

/// Files up to this size are kept in memory until their digest is known.
const ONE_READ_MAX: u64 = 64 << 20;
/// Frames under way of a file that is read twice.
const DEPTH: usize = 8;

impl WalArchive {
    /// Stores a file durably. Other bytes under the same name are [`Error::Duplicate`], and what was
    /// stored first stays as it is.
    pub async fn put<S: RawSource>(
        &self,
        file: ArchiveFile,
        source: S,
        options: PutOptions,
    ) -> Result<PutOutcome, S::Error> {
        self.put_prepared(file, Prepared::begin(source, options).await?).await
    }

    /// The same for a file that is being prepared already.
    pub async fn put_prepared<E: From<Error> + Send + 'static>(
        &self,
        file: ArchiveFile,
        prepared: Prepared<E>,
    ) -> Result<PutOutcome, E> {
        let Prepared { mut pipeline, options } = prepared;
        let digest = match pipeline.digest().await {
            Some(digest) => digest,
            None => return Err(pipeline.failure().await),
        };
        self.refuse_rivals(file, digest).await?;
        let compress = options.compression.kind;
        let path = self.directory_of(file)?;
        let path = path.join(&StoredWal::file_name(file, digest, compress)).map_err(Error::from)?;
        let mut upload = self.storage.put_stream(&path).await.map_err(Error::from)?;
        match pipeline.write_to(upload.as_mut(), options).await {
            Ok(()) => {}
            Err(error) => {
                // The first error is the one to tell of; an upload that is dropped is given up too.
                let _ = upload.abort().await;
                return Err(error);
            }
        }
        let finished = upload.finish().await;
        let stored = StoredWal { file, digest, compress, path, size: 0 };
        Ok(self.conclude(finished, stored).await?)
    }

    /// Whatever the store says to the last step, the archive must then hold these bytes and no others.
    async fn conclude(
        &self,
        finished: storage::Result<()>,
        mut stored: StoredWal,
    ) -> Result<PutOutcome, Error> {
        let existed = match finished {
            Ok(()) => false,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => true,
            Err(error) => return Err(error.into()),
        };
        // Another server may have stored other bytes at the same moment. Neither is removed: only a
        // person can tell which is right.
        let objects = self.refuse_rivals(stored.file, stored.digest).await?;
        stored.size = objects.iter().find(|o| o.path == stored.path).map_or(0, |o| o.size);
        if !existed {
            return Ok(PutOutcome::Stored(stored));
        }
        self.verify(&stored).await?;
        Ok(PutOutcome::Existed(stored))
    }

    /// The objects that hold `file`, none of which may have another digest.
    async fn refuse_rivals(
        &self,
        file: ArchiveFile,
        digest: Sha256,
    ) -> Result<Vec<StoredWal>, Error> {
        let stored = self.all_of(file).await?;
        match stored.iter().find(|other| other.digest != digest) {
            Some(other) => Err(self.duplicate(file, other.digest, digest)),
            None => Ok(stored),
        }
    }
}

/// A file that is being read, digested and compressed. Where it goes need not be known yet.
pub struct Prepared<E> {
    pipeline: Pipeline<E>,
    options: PutOptions,
}

impl<E: From<Error> + Send + 'static> Prepared<E> {
    /// Begins with it. When this is dropped, the threads stop after the piece that they have.
    pub async fn begin<S: RawSource<Error = E>>(source: S, options: PutOptions) -> Result<Self, E> {
        let (source, known) = match options.raw_size <= ONE_READ_MAX {
            true => (source, None),
            false => {
                let reader = Pool::start("wal", [()], 1).map_err(Error::from)?;
                let digested = reader.give(move |()| digest_of(source)).await;
                digested.map_err(Error::from)?.await.map_err(Error::from)??
            }
        };
        Ok(Self { pipeline: Pipeline::start(source, options, known).await?, options })
    }
}

/// The error of a stage when the next or previous stage has stopped; that stage has the cause.
fn given_up() -> Error {
    Error::Bug { what: "storing a WAL file was given up without an error" }
}

fn not_compressed(source: codec::Error) -> Error {
    Error::Codec { object: "WAL file".to_owned(), source }
}

fn digest_of<S: RawSource>(mut source: S) -> Result<(S, Option<Sha256>), S::Error> {
    let mut hasher = Sha256Hasher::new();
    let mut buffer = Vec::new();
    loop {
        source.fill(&mut buffer, FRAME_RAW_SIZE)?;
        hasher.update(&buffer);
        if buffer.len() < FRAME_RAW_SIZE {
            source.rewind()?;
            return Ok((source, Some(hasher.finish())));
        }
    }
}

/// The frame that a piece of the file becomes.
type Frame = Promised<Result<Bytes, codec::Error>>;

/// What a thread keeps from frame to frame.
struct Worker {
    compressor: Compressor,
    frame: Vec<u8>,
}

/// The threads that read, digest and compress one file.
struct Pipeline<E> {
    known: Option<Sha256>,
    digest: oneshot::Receiver<Sha256>,
    /// In order, each as soon as it is made.
    frames: mpsc::Receiver<Frame>,
    reader: Promised<Result<(), E>>,
    /// The threads live as long as this and what the reader gives out.
    _threads: Pool<Worker>,
}

impl<E: From<Error> + Send + 'static> Pipeline<E> {
    async fn start<S: RawSource<Error = E>>(
        source: S,
        options: PutOptions,
        known: Option<Sha256>,
    ) -> Result<Self, E> {
        let depth = match known {
            None => ONE_READ_MAX as usize / FRAME_RAW_SIZE + 1,
            Some(_) => DEPTH,
        };
        let (frame_tx, frames) = mpsc::channel(depth);
        let (digest_tx, digest) = oneshot::channel();
        // Two at least: one reads, and compresses too when it has nothing left to read.
        let workers: Result<Vec<_>, _> =
            (0..options.workers.max(2)).map(|_| Worker::new(options)).collect();
        let threads = Pool::start("wal", workers?, depth).map_err(Error::from)?;
        let (raw_size, workers) = (options.raw_size, threads.giver());
        let reader = Reader { source, raw_size, known, workers, frame_tx };
        let reader = threads.give(move |_| reader.run(digest_tx)).await.map_err(Error::from)?;
        Ok(Self { known, digest, frames, reader, _threads: threads })
    }

    /// The digest of the file; `None` when reading it failed.
    async fn digest(&mut self) -> Option<Sha256> {
        match self.known {
            Some(known) => Some(known),
            None => (&mut self.digest).await.ok(),
        }
    }

    /// Why there is no digest.
    async fn failure(self) -> E {
        drop(self.frames);
        match self.reader.await {
            Ok(Err(error)) => error,
            Ok(Ok(())) => Error::Bug { what: "reading a WAL file ended without a digest" }.into(),
            Err(error) => Error::from(error).into(),
        }
    }

    /// Writes the whole object, and proves that what was compressed is what the name says.
    async fn write_to(&mut self, upload: &mut dyn Upload, options: PutOptions) -> Result<(), E> {
        let failed = |error: storage::Error| E::from(error.into());
        upload.write(object_start(options)).await.map_err(failed)?;
        while let Some(frame) = self.frames.recv().await {
            let frame = frame.await.map_err(Error::from)?;
            let frame = frame.map_err(not_compressed)?;
            upload.write(frame).await.map_err(failed)?;
        }
        match (&mut self.reader).await {
            Ok(read) => read,
            Err(error) => Err(Error::from(error).into()),
        }
    }
}

/// The header and the raw size.
fn object_start(options: PutOptions) -> Bytes {
    let header = ObjectHeader::new(ObjectKind::Wal, options.compression.kind);
    let mut start = Vec::with_capacity(HEADER_LEN + 8);
    start.extend_from_slice(&header.encode());
    start.extend_from_slice(&options.raw_size.to_le_bytes());
    start.into()
}

impl Worker {
    fn new(options: PutOptions) -> Result<Self, Error> {
        let compressor = Compressor::new(options.compression).map_err(not_compressed)?;
        Ok(Self { compressor, frame: Vec::new() })
    }

    fn compress(&mut self, raw: &[u8]) -> Result<Bytes, codec::Error> {
        self.frame.clear();
        self.compressor.compress_frame(raw, &mut self.frame)?;
        Ok(Bytes::copy_from_slice(&self.frame))
    }
}

struct Reader<S> {
    source: S,
    raw_size: u64,
    known: Option<Sha256>,
    workers: Giver<Worker>,
    frame_tx: mpsc::Sender<Frame>,
}

impl<S: RawSource> Reader<S> {
    fn run(mut self, digest: oneshot::Sender<Sha256>) -> Result<(), S::Error> {
        let mut hasher = Sha256Hasher::new();
        let mut read = 0;
        loop {
            let mut piece = Vec::new();
            self.source.fill(&mut piece, FRAME_RAW_SIZE)?;
            read += piece.len() as u64;
            let last = piece.len() < FRAME_RAW_SIZE;
            let piece = Bytes::from(piece);
            if !piece.is_empty() && !self.hand_out(piece.clone()) {
                return Err(given_up().into());
            }
            hasher.update(&piece);
            if last || read > self.raw_size {
                break;
            }
        }
        let found = hasher.finish();
        if read != self.raw_size || self.known.is_some_and(|known| known != found) {
            return Err(self.source.changed());
        }
        // Without a receiver it was known before.
        let _ = digest.send(found);
        Ok(())
    }

    /// Whether the receiver of the frames still exists.
    fn hand_out(&self, piece: Bytes) -> bool {
        let frame = self.workers.give_blocking(move |worker| worker.compress(&piece));
        frame.is_ok_and(|frame| self.frame_tx.blocking_send(frame).is_ok())
    }
}
