//! The blocks that may have changed between two WAL positions. All other blocks are taken from the prior backup
//! without reading them, so in case of doubt a block counts as changed.

mod marks;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use marks::{Marks, push};

use super::{
    RELATION_SEGMENT_BYTES,
    format::relation_file::{Fork, RelationFile, RelationFork},
};
use crate::types::{DataPath, Oid};

/// Blocks changed by the WAL between two positions. Uses at most one bit of memory per changed block.
#[derive(Debug, Default)]
pub struct ChangedBlocks {
    forks: HashMap<RelationFork, Marks>,
    /// (tablespace, database) directories that were created, copied or removed as a whole.
    databases: HashSet<(Oid, Oid)>,
}

/// The blocks of a file that may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileChanges {
    /// The whole file has to be read.
    All,
    /// Only these blocks, counted from the start of the file: half-open ranges, ascending, not adjacent, within the
    /// file.
    Ranges(Vec<Range<u32>>),
}

/// A row of `pg_wal_summary_contents`.
#[derive(Clone, Copy, Debug)]
pub(super) struct SummaryRow {
    pub(super) tablespace: Oid,
    pub(super) database: Oid,
    /// 0: the whole directory of the database in the tablespace was created or removed.
    pub(super) relation: Oid,
    pub(super) fork: i16,
    /// Counted from the start of the fork, across its segment files.
    pub(super) block: u32,
    /// `block` is not a changed block, but the limit block: the minimum length of the fork in the summarized range.
    pub(super) is_limit: bool,
}

impl ChangedBlocks {
    /// Adds a row, in any order.
    pub(super) fn add(&mut self, row: &SummaryRow) {
        if row.relation == Oid(0) {
            self.databases.insert((row.tablespace, row.database));
            return;
        }
        // Files of an unknown fork are not parsed as relation files, so they are read whole.
        let Some(fork) = Fork::of_number(row.fork) else { return };
        let SummaryRow { tablespace, database, relation, .. } = *row;
        let marks =
            self.forks.entry(RelationFork { tablespace, database, relation, fork }).or_default();
        if row.is_limit { marks.limit(row.block) } else { marks.mark(row.block) }
    }

    /// The blocks of the file at `path` that may differ from the prior backup; it has `size` bytes now and had
    /// `prior_size` there. Do not call it for files that the prior backup does not have, nor for unlogged relations
    /// except their init fork: their changes are not in the WAL.
    ///
    /// The server's rules (`GetFileBackupMethod` in `src/backend/backup/basebackup_incremental.c`), except that all
    /// blocks from the limit block on count as changed, whether the WAL names them or not.
    pub fn of(&self, path: &DataPath, size: u64, prior_size: u64, page_size: u32) -> FileChanges {
        let Some(file) = RelationFile::parse(path) else { return FileChanges::All };
        if file.of.fork == Fork::FreeSpaceMap
            || self.databases.contains(&(file.of.tablespace, file.of.database))
        {
            return FileChanges::All;
        }
        match blocks_of(&file, size, page_size) {
            Some(blocks) => self.within(&file, &blocks, prior_size / u64::from(page_size)),
            None => FileChanges::All,
        }
    }

    /// The changes in `blocks`, the range of the fork that one segment file has.
    fn within(&self, file: &RelationFile, blocks: &Range<u32>, prior_blocks: u64) -> FileChanges {
        let mut ranges = Vec::new();
        let mut tail = u64::from(blocks.start).saturating_add(prior_blocks);
        if let Some(marks) = self.forks.get(&file.of) {
            tail = tail.min(marks.least_length());
            ranges = marks.within(blocks);
        }
        let tail = u32::try_from(tail).unwrap_or(u32::MAX).clamp(blocks.start, blocks.end);
        ranges.retain_mut(|range| {
            range.end = range.end.min(tail);
            range.start < range.end
        });
        push(&mut ranges, tail..blocks.end);
        relative(ranges, blocks)
    }
}

/// The blocks of the fork in a segment file. `None` if the file is empty, has a partial block or more than a segment's
/// blocks, or is beyond the maximum size of a fork.
fn blocks_of(file: &RelationFile, size: u64, page_size: u32) -> Option<Range<u32>> {
    let segment_blocks = RELATION_SEGMENT_BYTES.checked_div(page_size)?;
    if size == 0 || !size.is_multiple_of(u64::from(page_size)) {
        return None;
    }
    let blocks = u32::try_from(size / u64::from(page_size)).ok()?;
    let first = file.segment.checked_mul(segment_blocks)?;
    (blocks <= segment_blocks).then_some(first..first.checked_add(blocks)?)
}

/// The ranges, counted from the start of the file; the whole file if nearly all blocks changed.
fn relative(mut ranges: Vec<Range<u32>>, blocks: &Range<u32>) -> FileChanges {
    let changed: u64 = ranges.iter().map(|range| u64::from(range.end - range.start)).sum();
    if changed * 10 > u64::from(blocks.end - blocks.start) * 9 {
        return FileChanges::All;
    }
    for range in &mut ranges {
        *range = range.start - blocks.start..range.end - blocks.start;
    }
    FileChanges::Ranges(ranges)
}
