//! What block maps claim of bundles: which frames are where, and which digest each block in them has.

use std::collections::{BTreeMap, HashSet};

use crate::{
    repo::block_map::{BlockMap, FrameRef},
    types::BlockDigest,
};

/// A bundle of frames: the place of its backup in the chain, and its number.
pub(super) type BundleKey = (usize, u32);

/// Blocks that lie one after the other in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Piece {
    /// The offset of the frame in the bundle, in bytes.
    pub(super) offset: u64,
    /// The length of the frame as stored.
    pub(super) stored_len: u32,
    /// The length of the frame when decompressed.
    pub(super) raw_len: u32,
    /// Where the first block begins in the raw frame.
    pub(super) raw_offset: u32,
    /// The bytes of all blocks together.
    pub(super) len: u32,
    /// The index of the first block's digest.
    pub(super) digests_from: u32,
}

impl Piece {
    /// Whether both lie in one frame.
    pub(super) fn same_frame(&self, other: &Self) -> bool {
        let frame = |piece: &Self| (piece.offset, piece.stored_len, piece.raw_len);
        frame(self) == frame(other)
    }

    /// The offset of the first byte behind the frame.
    pub(super) fn end(&self) -> u64 {
        self.offset + u64::from(self.stored_len)
    }
}

/// What is claimed of one bundle.
#[derive(Debug, Default)]
pub(super) struct BundleClaims {
    pub(super) pieces: Vec<Piece>,
    pub(super) digests: Vec<BlockDigest>,
}

/// What is claimed of the bundles of a chain.
#[derive(Debug, Default)]
pub(super) struct Claims {
    bundles: BTreeMap<BundleKey, BundleClaims>,
    bytes: usize,
}

impl Claims {
    /// About how much memory they take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the blocks of a map, or those that its base does not say already. `bundle_of` names the
    /// bundle of a frame; sizes are those of the files.
    pub(super) fn add(
        &mut self,
        map: &BlockMap,
        base: Option<&BlockMap>,
        size: u64,
        block_size: u32,
        bundle_of: impl Fn(&FrameRef) -> Option<BundleKey>,
    ) {
        let mut known = base.map(|base| Positions::of(base, block_size));
        let mut block = 0;
        for extent in map.extents(size, block_size) {
            let first = block;
            block += extent.digests.len();
            let Some(key) = bundle_of(&extent.frame) else { continue };
            let position = |at: usize| {
                let raw_offset = extent.raw_offset + (at - first) * block_size as usize;
                (extent.frame, raw_offset as u32, map.digests[at])
            };
            let new: Vec<bool> = (first..block)
                .map(|at| known.as_mut().is_none_or(|known| known.at(at) != Some(position(at))))
                .collect();
            let mut from = 0;
            for alike in new.chunk_by(|a, b| a == b) {
                let until = from + alike.len();
                if alike[0] {
                    let len =
                        extent.len.min(until * block_size as usize) - from * block_size as usize;
                    let raw_offset = extent.raw_offset + from * block_size as usize;
                    self.piece(
                        key,
                        &extent.frame,
                        raw_offset as u32,
                        len as u32,
                        &extent.digests[from..until],
                    );
                }
                from = until;
            }
        }
    }

    fn piece(
        &mut self,
        key: BundleKey,
        frame: &FrameRef,
        raw_offset: u32,
        len: u32,
        digests: &[BlockDigest],
    ) {
        let claims = self.bundles.entry(key).or_default();
        claims.pieces.push(Piece {
            offset: frame.offset,
            stored_len: frame.stored_len,
            raw_len: frame.raw_len,
            raw_offset,
            len,
            digests_from: claims.digests.len() as u32,
        });
        claims.digests.extend_from_slice(digests);
        self.bytes += size_of::<Piece>() + size_of_val(digests);
    }

    /// The newest bundle of a backup of which anything is claimed.
    pub(super) fn newest_of(&self, holder: usize) -> Option<BundleKey> {
        self.bundles.range((holder, 0)..=(holder, u32::MAX)).next_back().map(|(key, _)| *key)
    }

    /// Takes what was gathered, all but what belongs to `keep`.
    pub(super) fn take(&mut self, keep: Option<BundleKey>) -> BTreeMap<BundleKey, BundleClaims> {
        let mut taken = std::mem::take(&mut self.bundles);
        self.bytes = 0;
        if let Some((key, kept)) = keep.and_then(|key| taken.remove_entry(&key)) {
            self.bytes = kept.pieces.len() * size_of::<Piece>() + size_of_val(&*kept.digests);
            self.bundles.insert(key, kept);
        }
        taken
    }
}

/// Where the blocks of a map are, asked for in ascending order.
struct Positions<'a> {
    map: &'a BlockMap,
    block_size: u32,
    run: usize,
    first: usize,
}

impl<'a> Positions<'a> {
    fn of(map: &'a BlockMap, block_size: u32) -> Self {
        Self { map, block_size, run: 0, first: 0 }
    }

    fn at(&mut self, block: usize) -> Option<(FrameRef, u32, BlockDigest)> {
        loop {
            let run = self.map.runs.get(self.run)?;
            let end = self.first + run.blocks as usize;
            if block < end {
                let raw_offset = run.raw_offset + (block - self.first) as u32 * self.block_size;
                let frame = *self.map.frames.get(run.frame as usize)?;
                return Some((frame, raw_offset, *self.map.digests.get(block)?));
            }
            (self.run, self.first) = (self.run + 1, end);
        }
    }
}

/// What is wrong within bundles.
#[derive(Debug, Default)]
pub(super) struct Bad {
    /// Nothing of these can be read.
    pub(super) bundles: HashSet<BundleKey>,
    /// Frames, by bundle and offset.
    pub(super) frames: HashSet<(BundleKey, u64)>,
    /// Blocks, by bundle, offset of the frame, offset in the raw frame, and the digest they should have.
    pub(super) blocks: HashSet<(BundleKey, u64, u32, BlockDigest)>,
}

impl Bad {
    pub(super) fn is_empty(&self) -> bool {
        self.bundles.is_empty() && self.frames.is_empty() && self.blocks.is_empty()
    }

    /// How many blocks of a map are affected, and the number of the first one, by bundle.
    pub(super) fn affected(
        &self,
        map: &BlockMap,
        size: u64,
        block_size: u32,
        bundle_of: impl Fn(&FrameRef) -> Option<BundleKey>,
    ) -> BTreeMap<BundleKey, (u64, u64)> {
        let mut affected = BTreeMap::new();
        for extent in map.extents(size, block_size) {
            let Some(key) = bundle_of(&extent.frame) else { continue };
            let frame = (key, extent.frame.offset);
            let all = self.bundles.contains(&key) || self.frames.contains(&frame);
            for (index, digest) in extent.digests.iter().enumerate() {
                let raw_offset = (extent.raw_offset + index * block_size as usize) as u32;
                if all || self.blocks.contains(&(key, frame.1, raw_offset, *digest)) {
                    let block = extent.file_offset / u64::from(block_size) + index as u64;
                    affected.entry(key).or_insert((0, block)).0 += 1;
                }
            }
        }
        affected
    }
}
