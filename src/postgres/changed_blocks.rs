//! Which blocks of which files may have changed between two positions of the WAL. A block that is not
//! named here is taken from the prior backup unread, so that every doubt is answered with "changed".

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

/// What the WAL between two positions changed. Takes a bit for a changed block, or less.
#[derive(Debug, Default)]
pub struct ChangedBlocks {
    forks: HashMap<RelationFork, Marks>,
    /// Directories of a tablespace and database that were made, copied or removed as a whole.
    databases: HashSet<(Oid, Oid)>,
}

/// What of a file may differ from what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileChanges {
    /// Everything: it must be read whole.
    All,
    /// Only these blocks, counted from the start of the file: half-open, ascending, no two that touch,
    /// none beyond the file's size.
    Ranges(Vec<Range<u32>>),
}

/// A line of a WAL summary.
#[derive(Clone, Copy, Debug)]
pub(super) struct SummaryRow {
    pub(super) tablespace: Oid,
    pub(super) database: Oid,
    /// 0 says that the whole directory of tablespace and database was made or removed.
    pub(super) relation: Oid,
    pub(super) fork: i16,
    /// Counts from the start of the fork, across its files.
    pub(super) block: u32,
    /// Whether `block` is no changed block but the least number of blocks that the fork ever had.
    pub(super) is_limit: bool,
}

impl ChangedBlocks {
    /// Takes in a line of a summary. The order of lines does not matter.
    pub(super) fn add(&mut self, row: &SummaryRow) {
        if row.relation == Oid(0) {
            self.databases.insert((row.tablespace, row.database));
            return;
        }
        // Files of a fork that is not known are read whole: they are no relation files to us.
        let Some(fork) = Fork::of_number(row.fork) else { return };
        let SummaryRow { tablespace, database, relation, .. } = *row;
        let marks =
            self.forks.entry(RelationFork { tablespace, database, relation, fork }).or_default();
        match row.is_limit {
            true => marks.limit(row.block),
            false => marks.mark(row.block),
        }
    }

    /// What of the file at `path` in the data directory, which has `size` bytes now and had
    /// `prior_size` in the prior backup, may differ from that backup. A file that the prior backup does
    /// not have is changed as a whole, which the caller knows. Unlogged relations leave no trace in the
    /// WAL: of them only the init fork is to be asked for.
    ///
    /// The rules of the server (`GetFileBackupMethod` in
    /// `src/backend/backup/basebackup_incremental.c`), except that every block is changed that lies at
    /// or beyond the least length that the fork had, whether the WAL names it or not.
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

    /// The changes in `blocks` of a fork, which are one file of it.
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

/// Which blocks of its fork a file holds. `None` for an empty one, one with a part of a block or with
/// more than a file may have, and one beyond what a fork can have.
fn blocks_of(file: &RelationFile, size: u64, page_size: u32) -> Option<Range<u32>> {
    let segment_blocks = RELATION_SEGMENT_BYTES.checked_div(page_size)?;
    if size == 0 || !size.is_multiple_of(u64::from(page_size)) {
        return None;
    }
    let blocks = u32::try_from(size / u64::from(page_size)).ok()?;
    let first = file.segment.checked_mul(segment_blocks)?;
    (blocks <= segment_blocks).then_some(first..first.checked_add(blocks)?)
}

/// The ranges, counted from the start of the file; all of it where that is nearly so.
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
