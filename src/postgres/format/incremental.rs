//! `INCREMENTAL.<name>`: the changed blocks of a relation file, which PostgreSQL 17 or later sends instead of the file
//! (`sendFile` in `src/backend/backup/basebackup.c`, read by `src/bin/pg_combinebackup/reconstruct.c`).
//!
//! Little-endian 32-bit numbers: magic, number of changed pages, truncation length in pages, then the numbers of the
//! changed pages, ascending. If there are changed pages, zeros up to a multiple of the page size and the pages follow.
//! The relation file has the truncation length, or more if a changed page is beyond it.

use bytes::{Buf, Bytes};

use super::{
    page::{RELATION_SEGMENT_BYTES, is_checked_file},
    u32_at,
};
use crate::{
    postgres::{Error, Result},
    types::DataPath,
};

const FILE: &str = "an incremental file";
const PREFIX: &[u8] = b"INCREMENTAL.";
const MAGIC: u32 = 0xd3ae_1f0d;
/// Magic, count, truncation length.
const FIXED_BYTES: usize = 12;

/// The path of the relation file for an incremental file: `base/5/16384.1` for `base/5/INCREMENTAL.16384.1`. `None`
/// for any other file.
pub fn incremental_target(path: &DataPath) -> Option<DataPath> {
    let bytes = path.as_bytes();
    let name = path.file_name().strip_prefix(PREFIX)?;
    let directory = &bytes[..bytes.len() - path.file_name().len()];
    let target = DataPath::new(&[directory, name].concat()).ok()?;
    is_checked_file(&target).is_some().then_some(target)
}

/// Parses the header of an incremental file from chunks. Uses 4 bytes of memory per page of a segment file at most.
#[derive(Debug)]
pub struct IncrementalHeaderReader {
    page_size: u32,
    file_size: u64,
    numbers: Vec<u8>,
    /// Number of header bytes to read before the padding: the fixed part, then also the page numbers.
    needed: usize,
    /// Padding bytes still to be read.
    padding: usize,
}

impl IncrementalHeaderReader {
    pub fn new(file_size: u64, page_size: u32) -> Self {
        Self {
            page_size: page_size.max(1),
            file_size,
            numbers: Vec::with_capacity(FIXED_BYTES),
            needed: FIXED_BYTES,
            padding: 0,
        }
    }

    /// Takes the bytes of the header off the front of `chunk`. Returns the header when it is complete; `chunk` then
    /// begins with the first changed page.
    pub fn take(&mut self, chunk: &mut Bytes) -> Result<Option<IncrementalHeader>> {
        self.fill(chunk);
        if self.numbers.len() == FIXED_BYTES && self.needed == FIXED_BYTES {
            self.check_fixed()?;
            self.fill(chunk);
        }
        if self.numbers.len() < self.needed {
            return Ok(None);
        }
        let skipped = self.padding.min(chunk.len());
        chunk.advance(skipped);
        self.padding -= skipped;
        if self.padding > 0 {
            return Ok(None);
        }
        self.header().map(Some)
    }

    fn fill(&mut self, chunk: &mut Bytes) {
        let missing = (self.needed - self.numbers.len()).min(chunk.len());
        self.numbers.extend_from_slice(&chunk.split_to(missing));
    }

    fn fixed(&self, at: usize) -> u32 {
        u32_at(&self.numbers, at).unwrap_or_default()
    }

    /// Checks the fixed part before memory is allocated for the page numbers.
    fn check_fixed(&mut self) -> Result<()> {
        let (magic, count, truncation) = (self.fixed(0), self.fixed(4), self.fixed(8));
        let pages_max = RELATION_SEGMENT_BYTES / self.page_size;
        if magic != MAGIC {
            return Err(invalid(format!("its magic is 0x{magic:08x}")));
        }
        if count > pages_max || truncation > pages_max {
            return Err(invalid(format!(
                "it claims {count} pages and a length of {truncation}, but a file has no more than \
                 {pages_max}"
            )));
        }
        self.needed = FIXED_BYTES + 4 * count as usize;
        let header = match count {
            0 => self.needed,
            _ => self.needed.next_multiple_of(self.page_size as usize),
        };
        self.padding = header - self.needed;
        let expected = header as u64 + u64::from(count) * u64::from(self.page_size);
        if self.file_size == expected {
            Ok(())
        } else {
            Err(invalid(format!(
                "it has {} bytes, but {count} pages make it {expected}",
                self.file_size
            )))
        }
    }

    fn header(&mut self) -> Result<IncrementalHeader> {
        let truncation = self.fixed(8);
        let numbers = std::mem::take(&mut self.numbers);
        let (changed, _) = numbers[FIXED_BYTES..].as_chunks::<4>();
        let changed: Vec<u32> = changed.iter().map(|number| u32::from_le_bytes(*number)).collect();
        let pages_max = RELATION_SEGMENT_BYTES / self.page_size;
        if !changed.is_sorted_by(|a, b| a < b) {
            return Err(invalid("its page numbers are not ascending"));
        }
        if changed.last().is_some_and(|last| *last >= pages_max) {
            return Err(invalid("it has a page beyond the end of a file"));
        }
        Ok(IncrementalHeader { changed, truncation })
    }
}

fn invalid(reason: impl Into<String>) -> Error {
    Error::format(FILE, reason)
}

/// The header of an incremental file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncrementalHeader {
    changed: Vec<u32>,
    truncation: u32,
}

impl IncrementalHeader {
    /// Length of the relation file in pages.
    pub fn pages(&self) -> u32 {
        let behind_last = self.changed.last().map_or(0, |last| last + 1);
        self.truncation.max(behind_last)
    }

    /// Number of unchanged pages, if the file in the prior backup has `prior_pages` whole pages.
    pub fn unchanged_pages(&self, prior_pages: u64) -> u32 {
        let reusable = self.reusable(prior_pages);
        reusable - self.changed.partition_point(|page| *page < reusable) as u32
    }

    /// The relation file as maximal runs of pages, in order.
    pub fn runs(self, prior_pages: u64) -> PageRuns {
        let (pages, reusable) = (self.pages(), self.reusable(prior_pages));
        PageRuns { changed: self.changed, next: 0, page: 0, pages, reusable }
    }

    /// Pages from this one on are not taken from the prior backup: they are not in it, or were truncated since.
    fn reusable(&self, prior_pages: u64) -> u32 {
        u64::from(self.truncation).min(prior_pages) as u32
    }
}

/// Consecutive pages of a file from one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageRun {
    /// Number of pages from the prior backup.
    Unchanged(u32),
    /// Number of pages from the incremental file.
    Changed(u32),
    /// Number of pages that are in neither: zero pages, by which the server extended the file without writing them.
    Zero(u32),
}

#[derive(Debug)]
pub struct PageRuns {
    changed: Vec<u32>,
    /// Index of the first changed page that was not yielded.
    next: usize,
    page: u32,
    pages: u32,
    reusable: u32,
}

impl Iterator for PageRuns {
    type Item = PageRun;

    fn next(&mut self) -> Option<PageRun> {
        if self.page >= self.pages {
            return None;
        }
        let (from, begin) = (self.next, self.page);
        while self.changed.get(self.next) == Some(&self.page) {
            self.next += 1;
            self.page += 1;
        }
        if self.next > from {
            return Some(PageRun::Changed(self.page - begin));
        }
        let end = self.changed.get(self.next).copied().unwrap_or(self.pages);
        if begin < self.reusable {
            self.page = end.min(self.reusable);
            return Some(PageRun::Unchanged(self.page - begin));
        }
        self.page = end;
        Some(PageRun::Zero(end - begin))
    }
}

#[cfg(test)]
mod tests;
