//! Patches: a block map encoded as its difference to another one, its base.
//!
//! Encoding, all integers `varint`: the frames as in a map; run count; for each run: the number of blocks before it that
//! are those of the base, frame index, raw offset in the frame, block count; then the digests of the runs' blocks. Blocks
//! after the last run are those of the base.

use super::{
    BlockMap, FrameRef, FrameTable, ReferenceNumbers, Run, take_count, take_digests, take_frames,
    take_u32,
};
use crate::{
    repo::{Error, varint},
    types::BlockDigest,
};

/// A run of blocks that differ from the base.
struct PatchRun {
    /// Blocks of the base between the previous run and this one.
    skip: u32,
    frame: FrameRef,
    raw_offset: u32,
    blocks: u32,
}

impl BlockMap {
    /// Encodes a patch from `base` to this map. A block whose digest equals that of the base at the same position is taken
    /// from the base.
    pub fn encode_patch(&self, base: &Self, block_size: u32) -> Vec<u8> {
        let runs = self.changed_runs(base, block_size);
        let mut out = Vec::with_capacity(64 + 32 * runs.len());
        let mut frames = FrameTable::default();
        let numbers: Vec<u32> = runs.iter().map(|run| frames.number(run.frame)).collect();
        frames.put(&mut out);
        varint::put(&mut out, runs.len() as u64);
        let mut digests = Vec::new();
        let mut block = 0;
        for (run, frame) in runs.iter().zip(numbers) {
            varint::put(&mut out, run.skip.into());
            varint::put(&mut out, frame.into());
            varint::put(&mut out, run.raw_offset.into());
            varint::put(&mut out, run.blocks.into());
            let first = block + run.skip as usize;
            block = first + run.blocks as usize;
            digests.extend_from_slice(&self.digests[first..block]);
        }
        digests.iter().for_each(|digest| out.extend_from_slice(&digest.0));
        out
    }

    /// The runs of blocks that differ from `base`.
    fn changed_runs(&self, base: &Self, block_size: u32) -> Vec<PatchRun> {
        let mut runs = Vec::new();
        let (mut first, mut covered) = (0, 0);
        for run in &self.runs {
            let end = first + run.blocks as usize;
            let same = |block: usize| base.digests.get(block) == Some(&self.digests[block]);
            let blocks: Vec<usize> = (first..end).collect();
            let mut at = first;
            for alike in blocks.chunk_by(|a, b| same(*a) == same(*b)) {
                if !same(at) {
                    runs.push(PatchRun {
                        skip: (at - covered) as u32,
                        frame: self.frames[run.frame as usize],
                        raw_offset: run.raw_offset + (at - first) as u32 * block_size,
                        blocks: alike.len() as u32,
                    });
                    covered = at + alike.len();
                }
                at += alike.len();
            }
            first = end;
        }
        runs
    }

    /// Applies a patch, read from `object`, to `base`: the map of a file of `base_size` bytes, with the reader's reference
    /// numbers. Returns the map of a file of `file_size` bytes, checked as by [`BlockMap::decode`].
    pub fn decode_patch(
        bytes: &[u8],
        object: &str,
        (base, base_size): (&Self, u64),
        file_size: u64,
        block_size: u32,
        numbers: ReferenceNumbers,
    ) -> Result<Self, Error> {
        let invalid = |what| Error::format(object, what);
        let blocks = file_size.div_ceil(block_size.into());
        let mut rest = bytes;
        let frames = take_frames(&mut rest, numbers, blocks)
            .ok_or_else(|| invalid("bad frame in block map patch"))?;
        let runs = take_runs(&mut rest, &frames, blocks, block_size)
            .ok_or_else(|| invalid("bad run in block map patch"))?;
        let digests = take_digests(rest)
            .filter(|digests| {
                digests.len() as u64 == runs.iter().map(|r| u64::from(r.blocks)).sum::<u64>()
            })
            .ok_or_else(|| {
                invalid("the block map patch has another number of digests than blocks")
            })?;
        // The base's last block may be short: it can only be reused if the files have the same size.
        let usable =
            if base_size == file_size { blocks } else { base_size / u64::from(block_size) };
        let map = Self::patched(
            base,
            usable.min(base.digests.len() as u64),
            &runs,
            &digests,
            blocks,
            block_size,
        );
        map.filter(|map| map.runs_are_sound(file_size, block_size))
            .ok_or_else(|| invalid("the block map patch does not fit its base and its file"))
    }

    /// Merges the base's first `usable` blocks with the patch's runs; `None` if the result does not have `blocks` blocks.
    fn patched(
        base: &Self,
        usable: u64,
        runs: &[PatchRun],
        digests: &[BlockDigest],
        blocks: u64,
        block_size: u32,
    ) -> Option<Self> {
        let mut map = Self::default();
        let mut kept = base.cursor(block_size);
        let mut digests = digests;
        for run in runs {
            kept.copy(&mut map, u64::from(run.skip), usable)?;
            let (own, later) = digests.split_at_checked(run.blocks as usize)?;
            digests = later;
            map.push(run.frame, run.raw_offset, own, block_size);
            if map.digests.len() as u64 > blocks {
                return None;
            }
        }
        let left = blocks.checked_sub(map.digests.len() as u64)?;
        kept.copy(&mut map, left, usable)?;
        Some(map)
    }

    /// Copies ranges of the map's blocks in ascending order.
    pub fn cursor(&self, block_size: u32) -> BlockCursor<'_> {
        BlockCursor { map: self, block_size, run: 0, run_first: 0 }
    }
}

/// A position in a map that only moves forward.
pub struct BlockCursor<'a> {
    map: &'a BlockMap,
    block_size: u32,
    run: usize,
    /// The first block of the run.
    run_first: usize,
}

impl BlockCursor<'_> {
    /// Appends `count` blocks to `to`, those with the block numbers that follow in `to`; `None` if one of them is not below
    /// `usable`.
    pub fn copy(&mut self, to: &mut BlockMap, count: u64, usable: u64) -> Option<()> {
        let mut block = to.digests.len();
        let end = (block as u64).checked_add(count)?;
        if count > 0 && end > usable.min(self.map.digests.len() as u64) {
            return None;
        }
        let end = end as usize;
        while block < end {
            let run: &Run = self.map.runs.get(self.run)?;
            let run_end = self.run_first + run.blocks as usize;
            if block >= run_end {
                self.run += 1;
                self.run_first = run_end;
                continue;
            }
            let until = run_end.min(end);
            let raw_offset = run.raw_offset + (block - self.run_first) as u32 * self.block_size;
            let frame = self.map.frames[run.frame as usize];
            to.push(frame, raw_offset, &self.map.digests[block..until], self.block_size);
            block = until;
        }
        Some(())
    }
}

fn take_runs(
    rest: &mut &[u8],
    frames: &[FrameRef],
    blocks: u64,
    block_size: u32,
) -> Option<Vec<PatchRun>> {
    let count = take_count(rest, 4, blocks)?;
    (0..count).map(|_| take_run(rest, frames, block_size)).collect()
}

/// A run whose last block begins inside its frame.
fn take_run(rest: &mut &[u8], frames: &[FrameRef], block_size: u32) -> Option<PatchRun> {
    let run = PatchRun {
        skip: take_u32(rest)?,
        frame: *frames.get(take_u32(rest)? as usize)?,
        raw_offset: take_u32(rest)?,
        blocks: take_u32(rest)?,
    };
    let last = u64::from(run.blocks.checked_sub(1)?) * u64::from(block_size);
    (u64::from(run.raw_offset) + last < u64::from(run.frame.raw_len)).then_some(run)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BLOCK: u32 = 512;

    /// A map whose block `i` has the digest `blocks[i]` and lies in a frame of its own for each value.
    fn map_of(blocks: &[u8], reference: u32) -> BlockMap {
        let mut map = BlockMap::default();
        for (index, value) in blocks.iter().enumerate() {
            let frame = FrameRef {
                reference,
                bundle: u32::from(*value),
                offset: 16,
                stored_len: 9,
                raw_len: 1 << 20,
            };
            let digest = BlockDigest([*value; BlockDigest::LEN]);
            map.push(frame, index as u32 * BLOCK, &[digest], BLOCK);
        }
        map
    }

    fn size_of(blocks: &[u8]) -> u64 {
        blocks.len() as u64 * u64::from(BLOCK)
    }

    #[test]
    fn a_patch_holds_only_what_changed() {
        let (old, new) = ([1, 2, 3, 4, 5], [1, 9, 3, 4, 5]);
        let (base, map) = (map_of(&old, 1), map_of(&new, 0));
        let patch = map.encode_patch(&base, BLOCK);
        assert!(patch.len() < 40, "{}", patch.len());
        let made = BlockMap::decode_patch(
            &patch,
            "m",
            (&base, size_of(&old)),
            size_of(&new),
            BLOCK,
            ReferenceNumbers::of_own(1),
        );
        let made = made.unwrap();
        assert!(made.digests == map.digests);
        let references: Vec<u32> =
            made.extents(size_of(&new), BLOCK).map(|e| e.frame.reference).collect();
        assert_eq!(references, [1, 0, 1, 1, 1]);
    }

    #[test]
    fn a_block_that_the_base_does_not_have_is_refused() {
        let base = map_of(&[1, 2], 1);
        let patch = map_of(&[1, 2], 0).encode_patch(&base, BLOCK);
        let longer = BlockMap::decode_patch(
            &patch,
            "m",
            (&base, 1024),
            1536,
            BLOCK,
            ReferenceNumbers::of_own(1),
        );
        assert!(longer.is_err());
        // The second block of the base is short: it cannot be the second of a longer file.
        let grown = BlockMap::decode_patch(
            &patch,
            "m",
            (&base, 1000),
            1024,
            BLOCK,
            ReferenceNumbers::of_own(1),
        );
        assert!(grown.is_err());
        assert!(
            BlockMap::decode_patch(
                &patch,
                "m",
                (&base, 1000),
                1000,
                BLOCK,
                ReferenceNumbers::of_own(1)
            )
            .is_ok()
        );
    }

    proptest! {
        #[test]
        fn any_change_survives(old in prop::collection::vec(0u8..4, 1..40), new in prop::collection::vec(0u8..4, 1..40)) {
            let (base, map) = (map_of(&old, 1), map_of(&new, 0));
            let patch = map.encode_patch(&base, BLOCK);
            let made = BlockMap::decode_patch(&patch, "m", (&base, size_of(&old)), size_of(&new), BLOCK, ReferenceNumbers::of_own(1)).unwrap();
            prop_assert!(made.digests == map.digests);
            // What was put together can be written whole, too.
            let whole = BlockMap::decode(&made.encode(), "m", size_of(&new), BLOCK, ReferenceNumbers::of_own(1)).unwrap();
            let extents = |map: &BlockMap| -> Vec<(FrameRef, usize, usize)> {
                let extents = map.extents(size_of(&new), BLOCK);
                extents.map(|e| (e.frame, e.raw_offset, e.len)).collect()
            };
            prop_assert_eq!(extents(&whole), extents(&made));
        }

        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>, old in prop::collection::vec(0u8..4, 1..20), size in 0u64..1 << 14) {
            let base = map_of(&old, 1);
            if let Ok(map) = BlockMap::decode_patch(&bytes, "m", (&base, size_of(&old)), size, BLOCK, ReferenceNumbers::of_own(1)) {
                map.extents(size, BLOCK).for_each(drop);
            }
        }
    }
}
