//! Frames on their way through the pipeline: raw from the packer to a worker, digested and perhaps
//! stored from the worker to the writer.

use std::sync::Arc;

use super::{BLOCK_SIZE, prior::PriorBlocks};
use crate::{
    backup::source::{FileBytes, FileHeader},
    repo::block_map::FRAME_RAW_MAX,
    types::BlockDigest,
};

/// Consecutive bytes of one file in a frame. Every chunk but a file's last is a whole number of blocks.
#[derive(Clone, Debug)]
pub struct FileChunk {
    /// Where the chunk begins in the raw frame, in bytes.
    pub raw_offset: u32,
    /// Its length in bytes.
    pub len: u32,
    /// The number of its first block within the file.
    pub first_block: usize,
    /// The number of its first page within its relation, where its pages carry checksums.
    pub first_page: Option<u32>,
    /// The file in the prior backup.
    pub known: Option<Arc<PriorBlocks>>,
    /// The file to read the bytes from; `None` if they are in the frame already.
    pub unread: Option<Arc<dyn FileBytes>>,
}

/// The raw bytes of a frame. Made once and used again and again: the bytes behind `used` are left over.
#[derive(Debug)]
pub struct FrameBuffer {
    bytes: Vec<u8>,
    used: usize,
}

impl FrameBuffer {
    /// An empty buffer for the largest frame.
    pub fn new() -> Self {
        Self { bytes: vec![0; FRAME_RAW_MAX], used: 0 }
    }

    /// How many bytes are used.
    pub fn len(&self) -> usize {
        self.used
    }

    /// Whether none is used.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Uses none.
    pub fn clear(&mut self) {
        self.used = 0;
    }

    /// Uses `len` more, unchanged; they must fit. The bytes are what is left over from earlier.
    pub fn extend(&mut self, len: usize) -> &mut [u8] {
        let from = self.used;
        self.used += len;
        &mut self.bytes[from..from + len]
    }

    /// The bytes used.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    /// The bytes used, to be filled.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.used]
    }
}

impl Default for FrameBuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl FileChunk {
    /// How many blocks the chunk has.
    pub fn blocks(&self) -> usize {
        self.len.div_ceil(BLOCK_SIZE) as usize
    }

    /// Where the chunk begins in its file, in bytes.
    pub fn file_offset(&self) -> u64 {
        self.first_block as u64 * u64::from(BLOCK_SIZE)
    }

    /// The chunk's bytes in the raw frame.
    pub fn of<'a>(&self, raw: &'a [u8]) -> &'a [u8] {
        &raw[self.raw_offset as usize..][..self.len as usize]
    }

    /// The chunk's place in the raw frame.
    pub fn of_mut<'a>(&self, raw: &'a mut [u8]) -> &'a mut [u8] {
        &mut raw[self.raw_offset as usize..][..self.len as usize]
    }

    /// Whether the prior backup has this block of the chunk.
    pub fn is_known(&self, block: usize, digest: BlockDigest) -> bool {
        let known = self.known.as_ref().and_then(|known| known.digest(self.first_block + block));
        known == Some(digest)
    }
}

/// The next bytes of the files in line.
#[derive(Clone, Debug)]
pub enum Part {
    /// Bytes in the frame.
    Chunk(FileChunk),
    /// Number of bytes that the prior backup has.
    Unchanged(u64),
}

/// An entry that began.
#[derive(Debug)]
pub struct Begun {
    /// Its header from the source.
    pub header: FileHeader,
    /// The file in the prior backup.
    pub known: Option<Arc<PriorBlocks>>,
}

/// Output of the packer since its last batch: entries that began, in order, and the bytes that follow.
#[derive(Debug, Default)]
pub struct Batch {
    /// Entries that began since the batch before.
    pub begun: Vec<Begun>,
    /// The next bytes of the files in line, oldest file first.
    pub parts: Vec<Part>,
}

impl Batch {
    /// The chunks that make up the frame.
    pub fn chunks(&self) -> impl Iterator<Item = &FileChunk> {
        self.parts.iter().filter_map(|part| match part {
            Part::Chunk(chunk) => Some(chunk),
            Part::Unchanged(_) => None,
        })
    }
}

/// A frame as a worker leaves it.
#[derive(Debug)]
pub struct WorkedFrame {
    /// The bytes to store.
    pub content: FrameContent,
    /// The digests of the blocks, chunk after chunk.
    pub digests: Vec<BlockDigest>,
    /// Whether the prior backup has the block, for each digest; empty where it has none of them.
    pub known: Vec<bool>,
    /// CRC-32C of each chunk, where it was asked for.
    pub crcs: Vec<u32>,
    /// Damaged pages: the chunk by its index in the batch, and the page's number within its relation.
    pub bad_pages: Vec<(usize, u32)>,
}

/// The bytes of a frame that are stored.
#[derive(Debug)]
pub enum FrameContent {
    /// All of it, as it is.
    Whole(StoredFrame),
    /// Only these blocks, one after the other; they will share a frame with others.
    Changed(Vec<u8>),
}

/// A frame ready to be stored.
#[derive(Debug)]
pub struct StoredFrame {
    /// The compressed bytes.
    pub stored: Vec<u8>,
    /// The length of the frame when decompressed.
    pub raw_len: u32,
}
