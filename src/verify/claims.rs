//! The claims of block maps on bundles: where each frame is, and the digest of each block in it.

use std::collections::{BTreeMap, HashSet};

use crate::{
    repo::block_map::{BlockMap, FrameRef},
    types::BlockDigest,
};

/// A data bundle: the index of its backup in the chain, and its number.
pub(super) type BundleKey = (usize, u32);

/// Consecutive blocks of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClaimedBlocks {
    /// Offset of the frame in the bundle.
    pub(super) offset: u64,
    /// Of the frame.
    pub(super) stored_len: u32,
    /// Of the frame.
    pub(super) raw_len: u32,
    /// Offset of the first block in the decompressed frame.
    pub(super) raw_offset: u32,
    /// Raw bytes of all blocks.
    pub(super) len: u32,
    /// Index of the first block's digest.
    pub(super) digests_from: u32,
}

impl ClaimedBlocks {
    pub(super) fn same_frame(&self, other: &Self) -> bool {
        let frame = |claimed: &Self| (claimed.offset, claimed.stored_len, claimed.raw_len);
        frame(self) == frame(other)
    }

    /// Offset of the first byte after the frame.
    pub(super) fn end(&self) -> u64 {
        self.offset + u64::from(self.stored_len)
    }
}

#[derive(Debug, Default)]
pub(super) struct BundleClaims {
    pub(super) blocks: Vec<ClaimedBlocks>,
    pub(super) digests: Vec<BlockDigest>,
}

#[derive(Debug, Default)]
pub(super) struct Claims {
    bundles: BTreeMap<BundleKey, BundleClaims>,
    bytes: usize,
}

impl Claims {
    /// Memory of all claims, approximately.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the blocks of a map, without those that its base has at the same position. `bundle_of` returns the bundle
    /// of a frame; `size` is that of the file.
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
                    self.push(
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

    fn push(
        &mut self,
        key: BundleKey,
        frame: &FrameRef,
        raw_offset: u32,
        len: u32,
        digests: &[BlockDigest],
    ) {
        let claims = self.bundles.entry(key).or_default();
        claims.blocks.push(ClaimedBlocks {
            offset: frame.offset,
            stored_len: frame.stored_len,
            raw_len: frame.raw_len,
            raw_offset,
            len,
            digests_from: claims.digests.len() as u32,
        });
        claims.digests.extend_from_slice(digests);
        self.bytes += size_of::<ClaimedBlocks>() + size_of_val(digests);
    }

    /// The newest bundle of a backup with claims.
    pub(super) fn newest_of(&self, holder: usize) -> Option<BundleKey> {
        self.bundles.range((holder, 0)..=(holder, u32::MAX)).next_back().map(|(key, _)| *key)
    }

    /// Takes all claims except those on `keep`.
    pub(super) fn take(&mut self, keep: Option<BundleKey>) -> BTreeMap<BundleKey, BundleClaims> {
        let mut taken = std::mem::take(&mut self.bundles);
        self.bytes = 0;
        if let Some((key, kept)) = keep.and_then(|key| taken.remove_entry(&key)) {
            self.bytes =
                kept.blocks.len() * size_of::<ClaimedBlocks>() + size_of_val(&*kept.digests);
            self.bundles.insert(key, kept);
        }
        taken
    }
}

/// The positions of a map's blocks, read in ascending order.
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

#[derive(Debug, Default)]
pub(super) struct DamagedBlocks {
    /// Bundles of which nothing can be read.
    pub(super) bundles: HashSet<BundleKey>,
    /// Damaged frames, by bundle and offset.
    pub(super) frames: HashSet<(BundleKey, u64)>,
    /// Damaged blocks: bundle, offset of the frame, offset in the decompressed frame, expected digest.
    pub(super) blocks: HashSet<(BundleKey, u64, u32, BlockDigest)>,
}

impl DamagedBlocks {
    pub(super) fn is_empty(&self) -> bool {
        self.bundles.is_empty() && self.frames.is_empty() && self.blocks.is_empty()
    }

    /// Per bundle, the number of affected blocks of a map and the number of the first one.
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
