//! The block map of a file: where each block is stored, and its digest.
//!
//! A file is divided into blocks of the manifest's block size; only the last may be shorter. A *frame* is a compressed
//! range of a bundle. A *run* is a sequence of blocks that are consecutive both in the file and in a frame. Blocks that an
//! earlier backup holds are runs in its frames, so a reader needs no other map than this one.
//!
//! Encoding, all integers LEB128 (`varint`): frame count; for each frame: reference, bundle, offset, stored length, raw
//! length; run count; for each run: frame index, raw offset in the frame, block count; then the block digests,
//! [`BlockDigest::LEN`] bytes each, in file order.
//!
//! A *patch* encodes the difference to another map, so that a backup in which few blocks changed does not repeat the
//! digests of all others; see [`BlockMap::encode_patch`].

mod patch;

use std::collections::HashMap;

use super::{Error, limits, varint};
use crate::types::BlockDigest;

pub use limits::FRAME_RAW_MAX;

/// Where a frame is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrameRef {
    /// 0: the backup that the map belongs to; n: the n-th of its manifest's references, counted from 1.
    pub reference: u32,
    pub bundle: u32,
    /// In the bundle object, its header included.
    pub offset: u64,
    pub stored_len: u32,
    /// At most [`FRAME_RAW_MAX`].
    pub raw_len: u32,
}

impl FrameRef {
    /// Offset of the first byte after the frame.
    pub fn end(&self) -> u64 {
        self.offset + u64::from(self.stored_len)
    }
}

/// Blocks that are consecutive in the file and in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Index into [`BlockMap::frames`].
    pub frame: u32,
    /// Offset of the first block in the decompressed frame.
    pub raw_offset: u32,
    pub blocks: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockMap {
    /// In the order of their first use.
    pub frames: Vec<FrameRef>,
    /// In file order; their block counts add up to the number of digests.
    pub runs: Vec<Run>,
    /// One per block.
    pub digests: Vec<BlockDigest>,
}

/// Translates the references of a map to those of the backup that is being read. The references of a chain are
/// compatible: each backup has those of its prior, in the same order, and then the prior itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReferenceNumbers {
    /// The reader's reference for the backup that holds the map, which is 0 in the map.
    pub own: u32,
    /// Number of references of that backup.
    pub references: u32,
}

impl ReferenceNumbers {
    /// For maps of the backup that is being read.
    pub fn of_own(references: usize) -> Self {
        Self { own: 0, references: references as u32 }
    }

    /// For maps held by the reader's reference `number`.
    pub fn of_reference(number: u32) -> Self {
        Self { own: number, references: number.saturating_sub(1) }
    }

    fn translate(self, reference: u32) -> Option<u32> {
        match reference {
            0 => Some(self.own),
            n => (n <= self.references).then_some(n),
        }
    }
}

/// A run with what a reader needs to place and verify its blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent<'a> {
    pub frame: FrameRef,
    /// Offset of the first block in the decompressed frame.
    pub raw_offset: usize,
    /// Offset of the first block in the file.
    pub file_offset: u64,
    /// Raw bytes of all blocks.
    pub len: usize,
    /// One per block.
    pub digests: &'a [BlockDigest],
}

impl BlockMap {
    /// Appends consecutive blocks; extends the last run if they continue it.
    pub fn push(
        &mut self,
        frame: FrameRef,
        raw_offset: u32,
        digests: &[BlockDigest],
        block_size: u32,
    ) {
        let blocks = digests.len() as u32;
        self.digests.extend_from_slice(digests);
        if self.frames.last() != Some(&frame) {
            self.frames.push(frame);
        } else if let Some(run) = self.runs.last_mut()
            && run.raw_offset + run.blocks * block_size == raw_offset
        {
            run.blocks += blocks;
            return;
        }
        self.runs.push(Run { frame: self.frames.len() as u32 - 1, raw_offset, blocks });
    }

    /// The extents in file order. The map must have been decoded for this `file_size`.
    pub fn extents(&self, file_size: u64, block_size: u32) -> impl Iterator<Item = Extent<'_>> {
        let mut block = 0;
        self.runs.iter().map(move |run| {
            let first = block;
            block += run.blocks as usize;
            let file_offset = first as u64 * u64::from(block_size);
            let end = (block as u64 * u64::from(block_size)).min(file_size);
            Extent {
                frame: self.frames[run.frame as usize],
                raw_offset: run.raw_offset as usize,
                file_offset,
                len: (end - file_offset) as usize,
                digests: &self.digests[first..block],
            }
        })
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 * (1 + self.frames.len() + self.digests.len()));
        let mut frames = FrameTable::default();
        let numbers: Vec<u32> =
            self.runs.iter().map(|run| frames.number(self.frames[run.frame as usize])).collect();
        frames.put(&mut out);
        varint::put(&mut out, self.runs.len() as u64);
        for (run, frame) in self.runs.iter().zip(numbers) {
            varint::put(&mut out, frame.into());
            varint::put(&mut out, run.raw_offset.into());
            varint::put(&mut out, run.blocks.into());
        }
        self.digests.iter().for_each(|digest| out.extend_from_slice(&digest.0));
        out
    }

    /// Decodes the map of a file of `file_size` bytes, read from `object`. Checks counts, bounds and references, and that
    /// every block lies inside its frame, so that users of the map need no checks of their own.
    pub fn decode(
        bytes: &[u8],
        object: &str,
        file_size: u64,
        block_size: u32,
        numbers: ReferenceNumbers,
    ) -> Result<Self, Error> {
        let invalid = |what| Error::format(object, what);
        let blocks = file_size.div_ceil(block_size.into());
        let mut rest = bytes;
        let frames = take_frames(&mut rest, numbers, blocks)
            .ok_or_else(|| invalid("bad frame in block map"))?;
        let runs = take_runs(&mut rest, blocks).ok_or_else(|| invalid("bad run in block map"))?;
        let digests = take_digests(rest).filter(|digests| digests.len() as u64 == blocks);
        let digests = digests.ok_or_else(|| {
            invalid("the block map has another number of digests than the file has blocks")
        })?;
        let map = Self { frames, runs, digests };
        if map.runs_are_sound(file_size, block_size) {
            Ok(map)
        } else {
            Err(invalid("the runs of the block map do not cover the file"))
        }
    }

    /// Whether the runs cover the file exactly and lie inside their frames.
    fn runs_are_sound(&self, file_size: u64, block_size: u32) -> bool {
        let block_size = u64::from(block_size);
        let mut block = 0u64;
        for run in &self.runs {
            let Some(frame) = self.frames.get(run.frame as usize) else { return false };
            let start = block * block_size;
            block += u64::from(run.blocks);
            let end = (block * block_size).min(file_size);
            if run.blocks == 0
                || end <= start
                || u64::from(run.raw_offset) + (end - start) > u64::from(frame.raw_len)
            {
                return false;
            }
        }
        block == self.digests.len() as u64
    }
}

/// The frames of a map that is being encoded, each once.
#[derive(Default)]
struct FrameTable {
    frames: Vec<FrameRef>,
    numbers: HashMap<FrameRef, u32>,
}

impl FrameTable {
    fn number(&mut self, frame: FrameRef) -> u32 {
        let next = self.frames.len() as u32;
        let number = *self.numbers.entry(frame).or_insert(next);
        if number == next {
            self.frames.push(frame);
        }
        number
    }

    fn put(&self, out: &mut Vec<u8>) {
        varint::put(out, self.frames.len() as u64);
        for frame in &self.frames {
            varint::put(out, frame.reference.into());
            varint::put(out, frame.bundle.into());
            varint::put(out, frame.offset);
            varint::put(out, frame.stored_len.into());
            varint::put(out, frame.raw_len.into());
        }
    }
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    varint::take(rest)?.try_into().ok()
}

/// Reads a count. `None` if the remaining bytes cannot hold that many items of `bytes_each_min` bytes, or if the file has
/// fewer blocks: the count then is safe to allocate for.
fn take_count(rest: &mut &[u8], bytes_each_min: usize, blocks: u64) -> Option<usize> {
    let count = varint::take(rest)?;
    let held = (rest.len() / bytes_each_min) as u64;
    (count <= held.min(blocks)).then_some(count as usize)
}

fn take_frames(rest: &mut &[u8], numbers: ReferenceNumbers, blocks: u64) -> Option<Vec<FrameRef>> {
    let count = take_count(rest, 5, blocks)?;
    let mut frames = Vec::with_capacity(count);
    for _ in 0..count {
        let frame = FrameRef {
            reference: numbers.translate(take_u32(rest)?)?,
            bundle: take_u32(rest)?,
            offset: varint::take(rest)?,
            stored_len: take_u32(rest)?,
            raw_len: take_u32(rest)?,
        };
        let sound = frame.raw_len as usize <= FRAME_RAW_MAX
            && frame.stored_len as usize <= limits::FRAME_STORED_MAX
            && frame.offset.checked_add(frame.stored_len.into()).is_some();
        frames.push(sound.then_some(frame)?);
    }
    Some(frames)
}

/// Reads digests to the end; `None` if the length is no multiple of a digest's.
fn take_digests(rest: &[u8]) -> Option<Vec<BlockDigest>> {
    let (digests, odd) = rest.as_chunks::<{ BlockDigest::LEN }>();
    odd.is_empty().then(|| digests.iter().map(|digest| BlockDigest(*digest)).collect())
}

fn take_runs(rest: &mut &[u8], blocks: u64) -> Option<Vec<Run>> {
    let count = take_count(rest, 3, blocks)?;
    (0..count)
        .map(|_| {
            Some(Run {
                frame: take_u32(rest)?,
                raw_offset: take_u32(rest)?,
                blocks: take_u32(rest)?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BLOCK: u32 = 8192;

    fn frame(offset: u64) -> FrameRef {
        FrameRef { reference: 0, bundle: 1, offset, stored_len: 100, raw_len: 1 << 20 }
    }

    fn digests(count: usize) -> Vec<BlockDigest> {
        (0..count).map(|i| BlockDigest([i as u8; BlockDigest::LEN])).collect()
    }

    #[test]
    fn a_map_survives_a_round_trip() {
        let mut map = BlockMap::default();
        map.push(frame(16), 0, &digests(128), BLOCK);
        map.push(frame(116), 0, &digests(3), BLOCK);
        let size = 130 * u64::from(BLOCK) + 5;
        let decoded =
            BlockMap::decode(&map.encode(), "m", size, BLOCK, ReferenceNumbers::of_own(0)).unwrap();
        assert_eq!(decoded, map);
        let last = decoded.extents(size, BLOCK).last().unwrap();
        assert_eq!((last.file_offset, last.len), (128 * u64::from(BLOCK), 2 * BLOCK as usize + 5));
    }

    #[test]
    fn blocks_that_continue_a_run_extend_it() {
        let mut map = BlockMap::default();
        map.push(frame(16), 0, &digests(2), BLOCK);
        map.push(frame(16), 2 * BLOCK, &digests(2), BLOCK);
        map.push(frame(16), 9 * BLOCK, &digests(1), BLOCK);
        assert_eq!(map.frames.len(), 1);
        assert_eq!(map.runs.len(), 2);
    }

    #[test]
    fn unsound_maps_are_refused() {
        let refused = |bytes: &[u8], size, references| {
            BlockMap::decode(bytes, "m", size, BLOCK, ReferenceNumbers::of_own(references)).is_err()
        };
        let mut map = BlockMap::default();
        map.push(FrameRef { reference: 1, ..frame(0) }, 0, &digests(1), BLOCK);
        let mut bytes = map.encode();
        assert!(!refused(&bytes, 8192, 1));
        assert!(refused(&bytes, 8192, 0), "unknown reference");
        assert!(refused(&bytes, 9000, 1), "too few blocks");
        // Frame, raw offset and block count of the only run, a byte each, then the only digest.
        let run_at = bytes.len() - BlockDigest::LEN - 3;
        bytes[run_at] = 7;
        assert!(refused(&bytes, 8192, 1), "unknown frame");
        map.runs[0].raw_offset = (1 << 20) - 1;
        assert!(refused(&map.encode(), 8192, 1), "behind the frame");
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>, size in 0u64..1 << 40) {
            if let Ok(map) = BlockMap::decode(&bytes, "m", size, BLOCK, ReferenceNumbers::of_own(3)) {
                map.extents(size, BLOCK).for_each(drop);
            }
        }
    }
}
