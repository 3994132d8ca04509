//! The changed blocks of one relation fork.

use std::ops::Range;

use roaring::RoaringBitmap;

/// Blocks that are marked, and the least length that the fork had: beyond it all are changed, and need
/// no mark.
#[derive(Debug, Default)]
pub(super) struct Marks {
    changed: RoaringBitmap,
    least_length: Option<u32>,
}

impl Marks {
    /// The block was changed.
    pub(super) fn mark(&mut self, block: u32) {
        if u64::from(block) < self.least_length() {
            self.changed.insert(block);
        }
    }

    /// The fork was made or removed (0), or cut to `blocks` blocks.
    pub(super) fn limit(&mut self, blocks: u32) {
        if u64::from(blocks) < self.least_length() {
            self.changed.remove_range(blocks..);
            self.least_length = Some(blocks);
        }
    }

    /// The least number of blocks that the fork had; more than it can have where it was never cut.
    pub(super) fn least_length(&self) -> u64 {
        self.least_length.map_or(u64::MAX, u64::from)
    }

    /// The marked blocks among `blocks`, which are not empty.
    pub(super) fn within(&self, blocks: &Range<u32>) -> Vec<Range<u32>> {
        let mut ranges = Vec::new();
        let mut marked = self.changed.range(blocks.clone());
        while let Some(run) = marked.next_range() {
            push(&mut ranges, *run.start()..run.end().saturating_add(1));
        }
        ranges
    }
}

/// Adds a range that begins at or after all others; joins it to the last one where they touch.
pub(super) fn push(ranges: &mut Vec<Range<u32>>, next: Range<u32>) {
    match ranges.last_mut() {
        _ if next.is_empty() => {}
        Some(last) if last.end >= next.start => last.end = last.end.max(next.end),
        _ => ranges.push(next),
    }
}
