//! Finds the blocks that a file holds already, so that `--delta` fetches only the others.

use super::{
    file_job::{FileJob, Opened},
    source::Source,
};
use crate::{repo::block_map::Extent, restore::Error, types::BlockDigest};

/// The stretches of `extent` whose blocks are not what they must be. `buffer` is used to read.
pub(super) fn missing<'a>(
    job: &FileJob,
    opened: &Opened,
    source: &Source,
    extent: Extent<'a>,
    buffer: &mut Vec<u8>,
) -> Result<Vec<Extent<'a>>, Error> {
    buffer.clear();
    buffer.resize(extent.len, 0);
    if !job.read(opened, buffer, extent.file_offset)? {
        return Ok(vec![extent]);
    }
    let block_size = source.block_size as usize;
    let blocks = buffer.chunks(block_size).zip(extent.digests);
    let differs: Vec<bool> =
        blocks.map(|(block, digest)| source.hasher.digest(block) != *digest).collect();
    Ok(stretches(extent, &differs, block_size))
}

fn stretches<'a>(extent: Extent<'a>, differs: &[bool], block_size: usize) -> Vec<Extent<'a>> {
    let mut found = Vec::new();
    let mut first = 0;
    for alike in differs.chunk_by(|a, b| a == b) {
        if alike[0] {
            found.push(part_of(&extent, first, alike.len(), block_size));
        }
        first += alike.len();
    }
    found
}

fn part_of<'a>(extent: &Extent<'a>, first: usize, blocks: usize, block_size: usize) -> Extent<'a> {
    let from = first * block_size;
    let digests: &'a [BlockDigest] = &extent.digests[first..first + blocks];
    Extent {
        frame: extent.frame,
        raw_offset: extent.raw_offset + from,
        file_offset: extent.file_offset + from as u64,
        len: (blocks * block_size).min(extent.len - from),
        digests,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::block_map::FrameRef;

    #[test]
    fn only_blocks_that_differ_are_wanted() {
        let digests: Vec<_> = (0..5).map(|i| BlockDigest([i; BlockDigest::LEN])).collect();
        let frame = FrameRef { reference: 0, bundle: 1, offset: 16, stored_len: 9, raw_len: 4096 };
        let extent =
            Extent { frame, raw_offset: 512, file_offset: 1024, len: 2100, digests: &digests };
        let found = stretches(extent, &[false, true, true, false, true], 512);
        let summary: Vec<_> = found
            .iter()
            .map(|e| (e.raw_offset, e.file_offset, e.len, e.digests[0].0[0], e.digests.len()))
            .collect();
        assert_eq!(summary, [(1024, 1536, 1024, 1, 2), (2560, 3072, 52, 4, 1)]);
        assert!(stretches(extent, &[false; 5], 512).is_empty());
    }
}
