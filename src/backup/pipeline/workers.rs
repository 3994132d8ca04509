//! Worker threads: read what is deferred, check pages, digest blocks, compare them with the prior
//! backup's, compress. The caller keeps the order of frames: it awaits their results in the order they
//! were given out.

use super::{
    BLOCK_SIZE,
    frame::{FileChunk, FrameBuffer, FrameContent, StoredFrame, WorkedFrame},
    read,
};
use crate::{
    backup::Error,
    codec::{BlockHasher, Compressor},
    postgres,
    repo::block_map::FRAME_RAW_MAX,
    types::{Compression, Lsn},
    work::{self, Giver, Pool},
};

/// The work on every frame.
#[derive(Clone)]
pub(super) struct WorkerOptions {
    /// How many threads there are.
    pub threads: usize,
    /// How frames are compressed.
    pub compression: Compression,
    /// The key of the block digests.
    pub hasher: BlockHasher,
    /// Whether there is a prior backup to compare blocks with.
    pub compare: bool,
    /// The size of a page in bytes.
    pub page_size: u32,
    /// Whether the CRC-32C of each chunk is wanted.
    pub crc: bool,
    /// Pages written at this position or later may be torn; recovery mends them.
    pub start_lsn: Lsn,
}

/// A frame smaller than this is not stored by itself where it can share one with others.
const ALONE_MIN: usize = FRAME_RAW_MAX / 2;

/// The result of a worker, once it is done.
pub(super) type Promised<T> = work::Promised<Result<T, Error>>;

/// The worker threads, and the raw buffers that circulate between packer and workers. Their fixed number bounds the memory
/// and makes the source wait for the workers.
pub(super) struct Workers {
    pool: Pool<Worker>,
    buffers: async_channel::Receiver<FrameBuffer>,
    buffer_return: async_channel::Sender<FrameBuffer>,
    buffer_count: usize,
}

/// A buffer that returns to the packer when its job is done or cancelled. Also after a panic of the worker: the packer
/// would wait for it forever.
struct Lent {
    buffer: Option<FrameBuffer>,
    buffer_return: async_channel::Sender<FrameBuffer>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(mut buffer) = self.buffer.take() {
            buffer.clear();
            // There is room: the channel was made for all buffers.
            let _ = self.buffer_return.try_send(buffer);
        }
    }
}

impl Workers {
    /// Starts the threads; they end when the pool is dropped.
    pub(super) fn start(options: &WorkerOptions) -> Result<Self, Error> {
        let buffer_count = 2 * options.threads + 2;
        let (buffer_return, buffers) = async_channel::bounded(buffer_count);
        for _ in 0..buffer_count {
            // The channel has room for exactly this number of buffers: none is refused.
            let _ = buffer_return.try_send(FrameBuffer::new());
        }
        let workers: Result<Vec<_>, _> =
            (0..options.threads).map(|_| Worker::new(options)).collect();
        let pool = Pool::start("backup", workers?, buffer_count)?;
        Ok(Self { pool, buffers, buffer_return, buffer_count })
    }

    /// An empty buffer, once one is free.
    pub(super) async fn buffer(&self) -> Result<FrameBuffer, Error> {
        self.buffers.recv().await.map_err(|_| work::Error::Cancelled.into())
    }

    /// Waits until all frames that were given out are worked on: all buffers but the caller's are back.
    pub(super) async fn settle(&self) -> Result<(), Error> {
        let mut free = Vec::with_capacity(self.buffer_count);
        while free.len() + 1 < self.buffer_count {
            free.push(self.buffer().await?);
        }
        for buffer in free {
            // There is room: the channel was made for all of them.
            let _ = self.buffer_return.try_send(buffer);
        }
        Ok(())
    }

    /// Gives a frame out.
    pub(super) async fn give(
        &self,
        raw: FrameBuffer,
        chunks: Vec<FileChunk>,
    ) -> Result<Promised<WorkedFrame>, Error> {
        let mut raw = Lent { buffer: Some(raw), buffer_return: self.buffer_return.clone() };
        let job = move |worker: &mut Worker| {
            let bytes = raw.buffer.as_mut().map_or(&mut [][..], FrameBuffer::bytes_mut);
            worker.work(bytes, &chunks)
        };
        Ok(self.pool.give(job).await?)
    }

    /// The way to have gathered blocks compressed.
    pub(super) fn compressing(&self) -> Compressing {
        Compressing(self.pool.giver())
    }
}

/// Has gathered blocks, which were worked on before, compressed by the workers.
pub(super) struct Compressing(Giver<Worker>);

impl Compressing {
    /// Gives blocks out.
    pub(super) async fn give(&self, raw: Vec<u8>) -> Result<Promised<StoredFrame>, Error> {
        Ok(self.0.give(move |worker| worker.compress(&raw)).await?)
    }
}

struct Worker {
    compressor: Compressor,
    /// Frames are compressed into it, and copied out at their size.
    scratch: Vec<u8>,
    options: WorkerOptions,
}

impl Worker {
    fn new(options: &WorkerOptions) -> Result<Self, Error> {
        let compressor = Compressor::new(options.compression)?;
        Ok(Self { compressor, scratch: Vec::new(), options: options.clone() })
    }

    fn work(&mut self, raw: &mut [u8], chunks: &[FileChunk]) -> Result<WorkedFrame, Error> {
        for chunk in chunks {
            read::fill(chunk, raw)?;
        }
        // Before the digests: a page that is read again is another one, and its digest must be that of what is stored.
        let bad_pages = self.bad_pages(raw, chunks)?;
        let blocks = chunks.iter().map(FileChunk::blocks).sum();
        let mut digests = Vec::with_capacity(blocks);
        let mut known = Vec::with_capacity(if self.options.compare { blocks } else { 0 });
        for chunk in chunks {
            for (block, bytes) in chunk.of(raw).chunks(BLOCK_SIZE as usize).enumerate() {
                let digest = self.options.hasher.digest(bytes);
                digests.push(digest);
                if self.options.compare {
                    known.push(chunk.is_known(block, digest));
                }
            }
        }
        let content = self.content(raw, chunks, &known)?;
        let crcs = match self.options.crc {
            true => chunks.iter().map(|chunk| crc32c::crc32c(chunk.of(raw))).collect(),
            false => Vec::new(),
        };
        Ok(WorkedFrame { content, digests, known, crcs, bad_pages })
    }

    /// The damaged pages of each chunk. A page that was read while it was written is whole when it is read
    /// again; then its bytes are those.
    fn bad_pages(&self, raw: &mut [u8], chunks: &[FileChunk]) -> Result<Vec<(usize, u32)>, Error> {
        let WorkerOptions { page_size, start_lsn, .. } = self.options;
        let mut bad_pages = Vec::new();
        for (index, chunk) in chunks.iter().enumerate() {
            let Some(first) = chunk.first_page else { continue };
            for page in postgres::check_pages(chunk.of(raw), page_size, first, start_lsn) {
                let is_whole = |bytes: &[u8]| {
                    postgres::check_pages(bytes, page_size, page, start_lsn).is_empty()
                };
                if !read::again(chunk, raw, (page - first) * page_size, page_size, is_whole)? {
                    bad_pages.push((index, page));
                }
            }
        }
        Ok(bad_pages)
    }

    /// The whole frame, or the blocks of it that the prior backup does not have.
    fn content(
        &mut self,
        raw: &[u8],
        chunks: &[FileChunk],
        known: &[bool],
    ) -> Result<FrameContent, Error> {
        let alone = !self.options.compare || raw.len() >= ALONE_MIN && !known.contains(&true);
        if alone {
            return self.compress(raw).map(FrameContent::Whole);
        }
        let blocks = chunks.iter().flat_map(|chunk| chunk.of(raw).chunks(BLOCK_SIZE as usize));
        let mut changed = Vec::new();
        for (block, _) in blocks.zip(known).filter(|(_, known)| !**known) {
            changed.extend_from_slice(block);
        }
        Ok(FrameContent::Changed(changed))
    }

    fn compress(&mut self, raw: &[u8]) -> Result<StoredFrame, Error> {
        self.scratch.clear();
        self.compressor.compress_frame(raw, &mut self.scratch)?;
        Ok(StoredFrame { stored: self.scratch.clone(), raw_len: raw.len() as u32 })
    }
}
