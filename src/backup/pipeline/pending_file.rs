//! A file on its way through the writer, with the places of its blocks in the order in which they came.

use std::sync::Arc;

use super::{
    BLOCK_SIZE,
    crc::JoinedCrc,
    gather::{Gatherer, Slot},
    prior::PriorBlocks,
};
use crate::{
    backup::{
        Error,
        source::{FileHeader, FileKind},
    },
    repo::{
        block_map::{BlockMap, FrameRef},
        file_list::MapLocation,
    },
    types::BlockDigest,
};

/// A file whose bytes have not all been placed.
pub(super) struct PendingFile {
    pub(super) header: FileHeader,
    pub(super) known: Option<Arc<PriorBlocks>>,
    /// Damaged pages among the bytes that came.
    pub(super) bad_pages: Vec<u32>,
    runs: Vec<BlockRun>,
    /// The digests of the blocks that the prior backup does not have.
    digests: Vec<BlockDigest>,
    placed: u64,
    /// CRC-32C of the bytes that came.
    crc: JoinedCrc,
}

/// Consecutive blocks of the file.
struct BlockRun {
    blocks: usize,
    place: Place,
}

enum Place {
    /// Those of the prior backup at the same place of the file; `seen` where their bytes came.
    Prior { seen: bool },
    /// In a frame, from this raw offset on.
    Stored(FrameRef, u32),
    /// In a frame that is being filled.
    Gathered(Slot),
}

impl PendingFile {
    pub(super) fn new(header: FileHeader, known: Option<Arc<PriorBlocks>>) -> Self {
        Self {
            header,
            known,
            bad_pages: Vec::new(),
            runs: Vec::new(),
            digests: Vec::new(),
            placed: 0,
            crc: JoinedCrc::default(),
        }
    }

    /// The size in bytes; 0 for what is no file.
    pub(super) fn size(&self) -> u64 {
        match self.header.kind {
            FileKind::File { size, .. } => size,
            FileKind::Directory | FileKind::Link { .. } => 0,
        }
    }

    /// Whether all of its bytes have come.
    pub(super) fn is_filled(&self) -> bool {
        self.placed == self.size()
    }

    /// Blocks came that the prior backup has.
    pub(super) fn prior(&mut self, blocks: usize, len: u64) {
        self.push(blocks, Place::Prior { seen: true }, len);
    }

    /// Blocks did not come, because the prior backup has them.
    pub(super) fn unchanged(&mut self, len: u64) {
        let blocks = len.div_ceil(BLOCK_SIZE.into()) as usize;
        self.push(blocks, Place::Prior { seen: false }, len);
    }

    /// Blocks were stored.
    pub(super) fn stored(
        &mut self,
        frame: FrameRef,
        raw_offset: u32,
        digests: &[BlockDigest],
        len: u64,
    ) {
        self.digests.extend_from_slice(digests);
        self.push(digests.len(), Place::Stored(frame, raw_offset), len);
    }

    /// Blocks were gathered.
    pub(super) fn gathered(&mut self, slot: Slot, digests: &[BlockDigest], len: u64) {
        self.digests.extend_from_slice(digests);
        self.push(digests.len(), Place::Gathered(slot), len);
    }

    fn push(&mut self, blocks: usize, place: Place, len: u64) {
        self.placed += len;
        self.runs.push(BlockRun { blocks, place });
    }

    /// Takes the CRC-32C of the next bytes that came in.
    pub(super) fn add_crc(&mut self, crc: u32, len: u32) {
        self.crc.join(crc, len);
    }

    /// The CRC-32C of the file: of its bytes where all came, the prior backup's where none did.
    pub(super) fn crc(&self) -> Option<u32> {
        if self.crc.len() == self.size() {
            return Some(self.crc.value());
        }
        let known = self.known.as_ref()?;
        let untouched = self.crc.len() == 0 && self.unchanged_place().is_some();
        known.crc32c.filter(|_| untouched)
    }

    fn slots(&self) -> impl DoubleEndedIterator<Item = u64> {
        self.runs.iter().filter_map(|run| match run.place {
            Place::Gathered(slot) => Some(slot.number),
            _ => None,
        })
    }

    /// The first gathered frame that it waits for.
    pub(super) fn first_slot(&self) -> Option<u64> {
        self.slots().next()
    }

    /// The last gathered frame that it waits for.
    pub(super) fn last_slot(&self) -> Option<u64> {
        self.slots().next_back()
    }

    /// The place of the prior backup's map, if the file has the same blocks and the same length.
    pub(super) fn unchanged_place(&self) -> Option<MapLocation> {
        let known = self.known.as_ref().filter(|known| known.size == self.size())?;
        let kept = self.runs.iter().all(|at| matches!(at.place, Place::Prior { .. }));
        kept.then_some(known.place)
    }

    /// The damaged pages that came, and those that the prior backup had among blocks that did not come.
    pub(super) fn all_bad_pages(&mut self) -> Vec<u32> {
        let mut pages = std::mem::take(&mut self.bad_pages);
        let before = self.known.as_ref().map_or(&[][..], |known| &known.bad_pages);
        let mut first = 0;
        for run in &self.runs {
            let end = first + run.blocks;
            if matches!(run.place, Place::Prior { seen: false }) {
                pages
                    .extend(before.iter().filter(|page| (first..end).contains(&(**page as usize))));
            }
            first = end;
        }
        pages.sort_unstable();
        pages.dedup();
        pages
    }

    /// The map of the file, once all of its gathered frames are stored.
    pub(super) fn map(&self, gathered: &Gatherer) -> Result<BlockMap, Error> {
        let mut map = BlockMap::default();
        let mut prior =
            self.known.as_ref().and_then(|known| Some(known.map.as_ref()?.map.cursor(BLOCK_SIZE)));
        let mut digests = self.digests.as_slice();
        for run in &self.runs {
            let (frame, raw_offset) = match run.place {
                Place::Prior { .. } => {
                    let copied = prior
                        .as_mut()
                        .and_then(|prior| prior.copy(&mut map, run.blocks as u64, u64::MAX));
                    copied.ok_or_else(|| self.broken())?;
                    continue;
                }
                Place::Stored(frame, raw_offset) => (frame, raw_offset),
                Place::Gathered(slot) => {
                    let frame = gathered.placed(slot.number).ok_or_else(|| self.broken())?;
                    (frame, slot.raw_offset)
                }
            };
            let (own, later) = digests.split_at(run.blocks);
            digests = later;
            map.push(frame, raw_offset, own, BLOCK_SIZE);
        }
        Ok(map)
    }

    fn broken(&self) -> Error {
        Error::source(&self.header.path, "its blocks do not add up to the file")
    }
}
