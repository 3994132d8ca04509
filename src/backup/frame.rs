//! Frames on their way through the pipeline: raw from the packer to a worker, stored from the worker
//! to the writer.

use super::source::FileHeader;
use crate::types::BlockDigest;

/// The size of a block, the unit in which changes are found and data is verified: a PostgreSQL page.
pub const BLOCK_SIZE: u32 = 8192;

/// Consecutive bytes of one file in a frame. Every piece but a file's last is a whole number of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where the piece begins in the raw frame, in bytes.
    pub raw_offset: u32,
    /// Its length in bytes.
    pub len: u32,
    /// The number of its first page within its relation, where its pages carry checksums.
    pub first_page: Option<u32>,
}

impl Piece {
    /// How many blocks the piece has.
    pub fn blocks(&self) -> usize {
        self.len.div_ceil(BLOCK_SIZE) as usize
    }

    /// The piece's bytes in the raw frame.
    pub fn of<'a>(&self, raw: &'a [u8]) -> &'a [u8] {
        &raw[self.raw_offset as usize..][..self.len as usize]
    }
}

/// What the packer made since its last batch: entries that began, in order, and a frame of their bytes.
#[derive(Debug, Default)]
pub struct Batch {
    /// Entries that began since the batch before.
    pub begun: Vec<FileHeader>,
    /// Pieces of the files whose bytes are next in line, oldest file first; empty without a frame.
    pub pieces: Vec<Piece>,
}

/// A frame as a worker leaves it.
#[derive(Debug)]
pub struct StoredFrame {
    /// The compressed bytes.
    pub stored: Vec<u8>,
    /// The length of the frame when decompressed.
    pub raw_len: u32,
    /// The digests of the blocks, piece after piece.
    pub digests: Vec<BlockDigest>,
    /// Damaged pages: the piece by its index in the batch, and the page's number within its relation.
    pub bad_pages: Vec<(usize, u32)>,
}
