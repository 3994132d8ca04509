//! Writes a file into the archive.
//!
//! One thread reads and digests, others compress chunks into frames, and the frames are uploaded in order. The
//! object's name holds the SHA-256, so the upload can begin only once the digest is known: the frames of a file of usual
//! size are kept in memory until then, and a large file is read twice. In both cases the upload is finished only if the
//! digest of the bytes that were compressed is the one in the name, so a file that changes while it is read is refused.

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

/// The raw bytes of a file. A large file is read twice.
pub trait RawSource: Send + 'static {
    /// An error of the source, or of the archive.
    type Error: From<Error> + Send + 'static;

    /// Replaces the content of `buffer` with the next `limit` bytes; fewer only at the end of the file.
    fn fill(&mut self, buffer: &mut Vec<u8>, limit: usize) -> Result<(), Self::Error>;

    fn rewind(&mut self) -> Result<(), Self::Error>;

    /// The error for a file that changed while it was read.
    fn changed(&self) -> Self::Error;
}

#[derive(Clone, Copy, Debug)]
pub struct PutOptions {
    pub compression: Compression,
    /// Compression threads; 0 counts as 1.
    pub workers: usize,
    /// Bytes.
    pub raw_size: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// Durably.
    Stored(StoredWal),
    /// The archive had the same bytes already; they were read back and verified, and are durable.
    Existed(StoredWal),
}

/// Files up to this size are kept in memory until their digest is known.
const ONE_READ_MAX: u64 = 64 << 20;
/// Frames in memory of a file that is read twice.
const QUEUED_FRAMES_MAX: usize = 8;

impl WalArchive {
    /// Stores a file durably. Different bytes under the same name are [`Error::Duplicate`]; the object that was stored
    /// first is not touched.
    pub async fn put<S: RawSource>(
        &self,
        file: ArchiveFile,
        source: S,
        options: PutOptions,
    ) -> Result<PutOutcome, S::Error> {
        self.put_prepared(file, Prepared::begin(source, options).await?).await
    }

    /// [`Self::put`] for a file that is already being read.
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
        self.refuse_duplicates(file, digest).await?;
        let compress = options.compression.kind;
        let path = self.directory_of(file)?;
        let path = path.join(&StoredWal::file_name(file, digest, compress)).map_err(Error::from)?;
        let mut upload = self.storage.put_stream(&path).await.map_err(Error::from)?;
        match pipeline.write_to(upload.as_mut(), options).await {
            Ok(()) => {}
            Err(error) => {
                // A failed abort must not hide the first error; dropping the upload discards it too.
                let _ = upload.abort().await;
                return Err(error);
            }
        }
        let finished = upload.finish().await;
        let stored = StoredWal { file, digest, compress, path, size: 0 };
        Ok(self.conclude(finished, stored).await?)
    }

    /// Checks that the archive now holds these bytes and no others, whatever the store answered to the last step.
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
        // Another server may have stored different bytes since the check before the upload. Neither object is removed:
        // only the administrator can tell which is right.
        let objects = self.refuse_duplicates(stored.file, stored.digest).await?;
        stored.size = objects.iter().find(|o| o.path == stored.path).map_or(0, |o| o.size);
        if !existed {
            return Ok(PutOutcome::Stored(stored));
        }
        self.verify(&stored).await?;
        Ok(PutOutcome::Existed(stored))
    }

    /// Lists the objects that hold `file`; one with another digest is an error.
    async fn refuse_duplicates(
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

/// A file that is being read, digested and compressed, while the caller still chooses the archive.
pub struct Prepared<E> {
    pipeline: Pipeline<E>,
    options: PutOptions,
}

impl<E: From<Error> + Send + 'static> Prepared<E> {
    /// Starts the threads. When this is dropped, they stop after the chunk at hand.
    pub async fn begin<S: RawSource<Error = E>>(source: S, options: PutOptions) -> Result<Self, E> {
        let (source, expected) = if options.raw_size <= ONE_READ_MAX {
            (source, None)
        } else {
            let reader = Pool::start("wal", [()], 1).map_err(Error::from)?;
            let digested = reader.give(move |()| digest_of(source)).await;
            digested.map_err(Error::from)?.await.map_err(Error::from)??
        };
        Ok(Self { pipeline: Pipeline::start(source, options, expected).await?, options })
    }
}

/// The error of a stage when the next or previous one stopped. Never reported: the error of that stage comes first.
fn stage_stopped() -> Error {
    Error::Bug { what: "a stage of archiving a WAL file stopped without an error" }
}

fn compress_failed(source: codec::Error) -> Error {
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

/// The frame of a chunk.
type Frame = Promised<Result<Bytes, codec::Error>>;

/// The state of a thread, reused for every frame.
struct Worker {
    compressor: Compressor,
    frame: Vec<u8>,
}

/// The threads that read, digest and compress one file.
struct Pipeline<E> {
    /// From the first reading of a file that is read twice.
    expected: Option<Sha256>,
    digest: oneshot::Receiver<Sha256>,
    /// In file order: a promise is queued when its chunk is read, and yields when the chunk is compressed.
    frames: mpsc::Receiver<Frame>,
    reader: Promised<Result<(), E>>,
    /// The threads live as long as this and the jobs of the reader.
    _threads: Pool<Worker>,
}

impl<E: From<Error> + Send + 'static> Pipeline<E> {
    async fn start<S: RawSource<Error = E>>(
        source: S,
        options: PutOptions,
        expected: Option<Sha256>,
    ) -> Result<Self, E> {
        // Before the digest is known nothing is uploaded, so the queue must hold every frame of the file.
        let depth = match expected {
            None => ONE_READ_MAX as usize / FRAME_RAW_SIZE + 1,
            Some(_) => QUEUED_FRAMES_MAX,
        };
        let (frame_tx, frames) = mpsc::channel(depth);
        let (digest_tx, digest) = oneshot::channel();
        // At least two: one reads, and compresses too once everything is read.
        let workers: Result<Vec<_>, _> =
            (0..options.workers.max(2)).map(|_| Worker::new(options)).collect();
        let threads = Pool::start("wal", workers?, depth).map_err(Error::from)?;
        let (raw_size, workers) = (options.raw_size, threads.giver());
        let reader = Reader { source, raw_size, expected, workers, frame_tx };
        let reader = threads.give(move |_| reader.run(digest_tx)).await.map_err(Error::from)?;
        Ok(Self { expected, digest, frames, reader, _threads: threads })
    }

    /// The digest of the file; `None` if reading it failed.
    async fn digest(&mut self) -> Option<Sha256> {
        match self.expected {
            Some(expected) => Some(expected),
            None => (&mut self.digest).await.ok(),
        }
    }

    /// The error that left the file without a digest.
    async fn failure(self) -> E {
        drop(self.frames);
        match self.reader.await {
            Ok(Err(error)) => error,
            Ok(Ok(())) => Error::Bug { what: "reading a WAL file ended without a digest" }.into(),
            Err(error) => Error::from(error).into(),
        }
    }

    /// Uploads the whole object. `Ok` only if the bytes that were compressed have the digest in the name.
    async fn write_to(&mut self, upload: &mut dyn Upload, options: PutOptions) -> Result<(), E> {
        let failed = |error: storage::Error| E::from(error.into());
        upload.write(object_start(options)).await.map_err(failed)?;
        while let Some(frame) = self.frames.recv().await {
            let frame = frame.await.map_err(Error::from)?;
            let frame = frame.map_err(compress_failed)?;
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
        let compressor = Compressor::new(options.compression).map_err(compress_failed)?;
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
    expected: Option<Sha256>,
    workers: Giver<Worker>,
    frame_tx: mpsc::Sender<Frame>,
}

impl<S: RawSource> Reader<S> {
    fn run(mut self, digest: oneshot::Sender<Sha256>) -> Result<(), S::Error> {
        let mut hasher = Sha256Hasher::new();
        let mut read = 0;
        loop {
            let mut chunk = Vec::new();
            self.source.fill(&mut chunk, FRAME_RAW_SIZE)?;
            read += chunk.len() as u64;
            let last = chunk.len() < FRAME_RAW_SIZE;
            let chunk = Bytes::from(chunk);
            if !chunk.is_empty() && !self.queue(chunk.clone()) {
                return Err(stage_stopped().into());
            }
            hasher.update(&chunk);
            // A file that grew is refused below; without this it could be read without end.
            if last || read > self.raw_size {
                break;
            }
        }
        let found = hasher.finish();
        if read != self.raw_size || self.expected.is_some_and(|expected| expected != found) {
            return Err(self.source.changed());
        }
        // On the second reading nobody waits for it.
        let _ = digest.send(found);
        Ok(())
    }

    /// Queues a chunk for compression; `false` if the upload was given up.
    fn queue(&self, chunk: Bytes) -> bool {
        let frame = self.workers.give_blocking(move |worker| worker.compress(&chunk));
        frame.is_ok_and(|frame| self.frame_tx.blocking_send(frame).is_ok())
    }
}
