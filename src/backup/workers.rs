//! Worker threads: check pages, digest blocks, compress. The order of frames is kept by whoever
//! awaits their results in the order they were given out.

use tokio::sync::oneshot;

use super::{
    Error,
    frame::{BLOCK_SIZE, Piece, StoredFrame},
};
use crate::{
    codec::{self, BlockHasher, Compressor},
    postgres,
    types::{Compression, Lsn},
};

/// What a worker is asked to do with every frame.
#[derive(Clone)]
pub(super) struct WorkerOptions {
    /// How many threads there are.
    pub threads: usize,
    /// How frames are compressed.
    pub compression: Compression,
    /// The key of the block digests.
    pub hasher: BlockHasher,
    /// The size of a page in bytes.
    pub page_size: u32,
    /// Pages written at this position or later may be torn; recovery mends them.
    pub start_lsn: Lsn,
}

struct Job {
    raw: Vec<u8>,
    pieces: Vec<Piece>,
    done: oneshot::Sender<codec::Result<StoredFrame>>,
}

/// A pool of worker threads and of the raw buffers that go round between packer and workers. There
/// are only so many buffers, which bounds the memory and makes the source wait for the workers.
pub(super) struct Workers {
    jobs: async_channel::Sender<Job>,
    buffers: async_channel::Receiver<Vec<u8>>,
}

impl Workers {
    /// Starts the threads; they end when the pool is dropped.
    pub(super) fn start(options: &WorkerOptions, buffer_size: usize) -> Result<Self, Error> {
        let buffer_count = 2 * options.threads + 2;
        let (jobs, job_queue) = async_channel::bounded::<Job>(buffer_count);
        let (buffer_return, buffers) = async_channel::bounded(buffer_count);
        for _ in 0..buffer_count {
            // The channel was made for exactly so many buffers: none is refused.
            let _ = buffer_return.try_send(Vec::with_capacity(buffer_size));
        }
        for number in 0..options.threads {
            let mut worker = Worker::new(options)?;
            let (job_queue, buffer_return) = (job_queue.clone(), buffer_return.clone());
            std::thread::Builder::new()
                .name(format!("backup-{number}"))
                .spawn(move || {
                    while let Ok(job) = job_queue.recv_blocking() {
                        let result = worker.run(&job.raw, &job.pieces);
                        let mut raw = job.raw;
                        raw.clear();
                        // A receiver that is gone has given the backup up; so will this thread.
                        let _ = buffer_return.try_send(raw);
                        let _ = job.done.send(result);
                    }
                })
                .map_err(Error::Thread)?;
        }
        Ok(Self { jobs, buffers })
    }

    /// An empty buffer, once one is free.
    pub(super) async fn buffer(&self) -> Result<Vec<u8>, Error> {
        self.buffers.recv().await.map_err(|_| Error::WorkerLost)
    }

    /// Gives a frame out; its result comes through the receiver.
    pub(super) async fn give(
        &self,
        raw: Vec<u8>,
        pieces: Vec<Piece>,
    ) -> Result<oneshot::Receiver<codec::Result<StoredFrame>>, Error> {
        let (done, result) = oneshot::channel();
        self.jobs.send(Job { raw, pieces, done }).await.map_err(|_| Error::WorkerLost)?;
        Ok(result)
    }
}

struct Worker {
    compressor: Compressor,
    hasher: BlockHasher,
    page_size: u32,
    start_lsn: Lsn,
}

impl Worker {
    fn new(options: &WorkerOptions) -> Result<Self, Error> {
        Ok(Self {
            compressor: Compressor::new(options.compression)?,
            hasher: options.hasher.clone(),
            page_size: options.page_size,
            start_lsn: options.start_lsn,
        })
    }

    fn run(&mut self, raw: &[u8], pieces: &[Piece]) -> codec::Result<StoredFrame> {
        let mut digests = Vec::with_capacity(pieces.iter().map(Piece::blocks).sum());
        let mut bad_pages = Vec::new();
        for (index, piece) in pieces.iter().enumerate() {
            let bytes = piece.of(raw);
            digests.extend(bytes.chunks(BLOCK_SIZE as usize).map(|b| self.hasher.digest(b)));
            if let Some(first) = piece.first_page {
                let bad = postgres::check_pages(bytes, self.page_size, first, self.start_lsn);
                bad_pages.extend(bad.into_iter().map(|page| (index, page)));
            }
        }
        let mut stored = Vec::with_capacity(raw.len() / 2 + 64);
        self.compressor.compress_frame(raw, &mut stored)?;
        stored.shrink_to_fit();
        Ok(StoredFrame { stored, raw_len: raw.len() as u32, digests, bad_pages })
    }
}
