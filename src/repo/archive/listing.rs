//! What the archive holds, from listings alone.

use std::collections::{BTreeSet, HashMap};

use super::{Error, StoredWal, WalArchive};
use crate::{
    storage::EntryKind,
    types::{ArchiveFile, TimeLine, WalSegment, WalSegmentSize},
};

/// Segments of one timeline from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentRange {
    /// The first.
    pub first: WalSegment,
    /// The last, on the same timeline.
    pub last: WalSegment,
    /// The size of a segment.
    pub size: WalSegmentSize,
}

impl SegmentRange {
    fn iter(self) -> impl Iterator<Item = WalSegment> {
        let (first, last) = (self.first.number(self.size), self.last.number(self.size));
        (first..=last).map(move |n| WalSegment::from_number(n, self.first.timeline, self.size))
    }
}

impl WalArchive {
    /// The segments of `range` that are not in the archive, in order; every directory is listed
    /// once. At most `limit` are named, so that a wide gap costs no memory.
    pub async fn missing(
        &self,
        range: SegmentRange,
        limit: usize,
    ) -> Result<Vec<WalSegment>, Error> {
        let mut missing = Vec::new();
        let mut listed = (String::new(), BTreeSet::new());
        for segment in range.iter() {
            let directory = segment.directory();
            if listed.0 != directory {
                let present = self.segments_in(&directory).await?;
                listed = (directory, present);
            }
            if !listed.1.contains(&segment) {
                missing.push(segment);
                if missing.len() >= limit {
                    break;
                }
            }
        }
        Ok(missing)
    }

    /// The oldest and the newest segment of the archive by name, as `info` shows them.
    pub async fn min_max(&self) -> Result<Option<(WalSegment, WalSegment)>, Error> {
        let directories = self.segment_directories().await?;
        let Some(min) = self.first_segment(directories.iter(), BTreeSet::first).await? else {
            return Ok(None);
        };
        let max = self.first_segment(directories.iter().rev(), BTreeSet::last).await?;
        Ok(max.map(|max| (min, max)))
    }

    /// The newest segment of each timeline in the archive.
    pub async fn newest_by_timeline(&self) -> Result<HashMap<TimeLine, WalSegment>, Error> {
        let mut newest = HashMap::new();
        for directory in self.segment_directories().await?.iter().rev() {
            let Ok(timeline) = u32::from_str_radix(&directory[..8], 16) else { continue };
            if newest.contains_key(&TimeLine(timeline)) {
                continue;
            }
            if let Some(segment) = self.segments_in(directory).await?.last() {
                newest.insert(TimeLine(timeline), *segment);
            }
        }
        Ok(newest)
    }

    /// The first directory that is not without segments tells.
    async fn first_segment(
        &self,
        directories: impl Iterator<Item = &String>,
        pick: impl Fn(&BTreeSet<WalSegment>) -> Option<&WalSegment>,
    ) -> Result<Option<WalSegment>, Error> {
        for directory in directories {
            if let Some(segment) = pick(&self.segments_in(directory).await?) {
                return Ok(Some(*segment));
            }
        }
        Ok(None)
    }

    /// The names of the directories that hold segments, in order.
    async fn segment_directories(&self) -> Result<Vec<String>, Error> {
        let upper = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
        let entries = self.storage.list(&self.directory, false).await?;
        let directories = entries.into_iter().filter(|e| e.kind == EntryKind::Directory);
        let names = directories.map(|e| e.path.file_name().to_owned());
        Ok(names.filter(|name| name.len() == 16 && name.bytes().all(upper)).collect())
    }

    async fn segments_in(&self, directory: &str) -> Result<BTreeSet<WalSegment>, Error> {
        let entries = self.storage.list(&self.directory.join(directory)?, false).await?;
        let stored = entries.iter().filter_map(|e| StoredWal::parse(&e.path, 0));
        Ok(stored
            .filter_map(|stored| match stored.file {
                ArchiveFile::Segment(segment) => Some(segment),
                _ => None,
            })
            .collect())
    }
}
