//! Finds the segments in the archive by listings.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};

use super::{Error, StoredWal, WalArchive};
use crate::{
    repo::REQUESTS_AT_ONCE,
    storage::{Entry, EntryKind, ObjectPath},
    types::{ArchiveFile, TimeLine, TimelineHistory, TimelineSegments, WalSegment, WalSegmentSize},
    work::try_map,
};

/// The segments of a directory, with the time each object was created, seconds since 1970.
type Segments = BTreeMap<WalSegment, Option<i64>>;

#[derive(Clone, Debug, Default)]
pub struct DirectoryListing {
    /// Sorted by name.
    pub files: Vec<StoredWal>,
    pub directories: Vec<ObjectPath>,
    /// Objects with names that no archived file has.
    pub foreign: Vec<ObjectPath>,
}

/// Consecutive segments without a gap. First and last are segment numbers (see [`WalSegment::number`]), inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentRun {
    pub first: u64,
    pub last: u64,
    /// When the last one was archived, seconds since 1970, if the store reports times.
    pub modified: Option<i64>,
}

/// The segments of the archive as runs without a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedSegments {
    pub size: WalSegmentSize,
    /// By timeline, ascending.
    pub runs: BTreeMap<TimeLine, Vec<SegmentRun>>,
}

impl ArchivedSegments {
    /// The parts of `range` that are not in the archive, in order.
    pub fn missing(&self, range: SegmentRange) -> Vec<SegmentRange> {
        let (last, timeline) = (range.last.number(self.size), range.first.timeline);
        let mut next = range.first.number(self.size);
        let mut missing = Vec::new();
        for run in self.runs.get(&timeline).into_iter().flatten() {
            if next > last || run.first > last {
                break;
            }
            if run.first > next {
                missing.push(self.range(timeline, next, run.first - 1));
            }
            next = next.max(run.last + 1);
        }
        if next <= last {
            missing.push(self.range(timeline, next, last));
        }
        missing
    }

    /// The gaps between the segments of each timeline, in order.
    pub fn holes(&self) -> Vec<SegmentRange> {
        let of_timeline = |(timeline, runs): (&TimeLine, &Vec<SegmentRun>)| {
            let pairs = runs.iter().zip(&runs[1.min(runs.len())..]);
            pairs
                .map(|(before, after)| self.range(*timeline, before.last + 1, after.first - 1))
                .collect::<Vec<_>>()
        };
        self.runs.iter().flat_map(of_timeline).collect()
    }

    /// The first and the last segment by name.
    pub fn span(&self) -> Option<(WalSegment, WalSegment)> {
        let on = |number, timeline| WalSegment::from_number(number, timeline, self.size);
        let (first, runs) = self.runs.first_key_value()?;
        let first = on(runs.first()?.first, *first);
        let (last, runs) = self.runs.last_key_value()?;
        Some((first, on(runs.last()?.last, *last)))
    }

    /// When a segment was archived, seconds since 1970; known only for the last one of a run.
    pub fn modified(&self, segment: WalSegment) -> Option<i64> {
        let number = segment.number(self.size);
        let runs = self.runs.get(&segment.timeline)?;
        runs.iter().find(|run| run.last == number)?.modified
    }

    /// The last segment of each timeline.
    pub fn newest(&self) -> BTreeMap<TimeLine, WalSegment> {
        let last = |(timeline, runs): (&TimeLine, &Vec<SegmentRun>)| {
            let number = runs.last()?.last;
            Some((*timeline, WalSegment::from_number(number, *timeline, self.size)))
        };
        self.runs.iter().filter_map(last).collect()
    }

    fn range(&self, timeline: TimeLine, first: u64, last: u64) -> SegmentRange {
        let on = |number| WalSegment::from_number(number, timeline, self.size);
        SegmentRange { first: on(first), last: on(last), size: self.size }
    }

    /// Adds the segments of a directory. They must follow all segments of their timeline that were added before.
    fn add(&mut self, segments: Segments) {
        for (segment, modified) in segments {
            let number = segment.number(self.size);
            let runs = self.runs.entry(segment.timeline).or_default();
            match runs.last_mut() {
                Some(run) if run.last + 1 == number => {
                    (run.last, run.modified) = (number, modified);
                }
                _ => runs.push(SegmentRun { first: number, last: number, modified }),
            }
        }
    }
}

/// Segments of one timeline, inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentRange {
    pub first: WalSegment,
    /// On the same timeline.
    pub last: WalSegment,
    pub size: WalSegmentSize,
}

impl SegmentRange {
    pub fn count(self) -> u64 {
        (self.last.number(self.size) + 1).saturating_sub(self.first.number(self.size))
    }

    /// The segments with numbers `first` to `last` that recovery along `history` reads, a range per timeline.
    pub fn along(
        history: &TimelineHistory,
        first: u64,
        last: u64,
        size: WalSegmentSize,
    ) -> Vec<Self> {
        let range = |one: TimelineSegments| {
            let on = |number| WalSegment::from_number(number, one.timeline, size);
            let (first, last) = one.within(first, last)?;
            Some(Self { first: on(first), last: on(last), size })
        };
        history.segments(size).into_iter().filter_map(range).collect()
    }

    /// The names of the archive directories with the segments.
    pub fn directories(self) -> impl Iterator<Item = String> {
        let per_directory = self.size.segments_per_xlog_id();
        let directory_of = |segment: WalSegment| segment.number(self.size) / per_directory;
        let numbers = directory_of(self.first)..=directory_of(self.last);
        numbers.map(move |number| {
            let first = number * per_directory;
            WalSegment::from_number(first, self.first.timeline, self.size).directory()
        })
    }

    pub fn contains(self, segment: WalSegment) -> bool {
        let number = segment.number(self.size);
        segment.timeline == self.first.timeline
            && (self.first.number(self.size)..=self.last.number(self.size)).contains(&number)
    }

    /// The segments in order.
    pub fn iter(self) -> impl Iterator<Item = WalSegment> {
        let (first, last) = (self.first.number(self.size), self.last.number(self.size));
        (first..=last).map(move |n| WalSegment::from_number(n, self.first.timeline, self.size))
    }
}

impl fmt::Display for SegmentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count() {
            1 => self.first.fmt(f),
            count => write!(f, "{} to {} ({count} segments)", self.first, self.last),
        }
    }
}

impl WalArchive {
    /// The first `limit` segments of `ranges` that are not in the archive, in order; the limit bounds the memory that a
    /// wide gap takes. Each directory is listed once.
    pub async fn missing(
        &self,
        ranges: &[SegmentRange],
        limit: usize,
    ) -> Result<Vec<WalSegment>, Error> {
        let mut missing = Vec::new();
        let mut listed = (String::new(), BTreeSet::new());
        for segment in ranges.iter().flat_map(|range| range.iter()) {
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

    /// All segments of the archive. Directories are listed concurrently while the server archives, so one listing may be
    /// older than that of the next directory and show a gap that is none. The directories beside a gap are therefore
    /// listed a second time: segments are archived in order, so what precedes a listed segment is there by then.
    pub async fn segments(&self, size: WalSegmentSize) -> Result<ArchivedSegments, Error> {
        let directories = self.segment_directories().await?;
        let mut listed = self.list_all(directories.clone(), size).await?;
        let beside = beside_holes(&listed, size);
        let again = beside.iter().map(|at| directories[*at].clone()).collect();
        for (at, segments) in beside.into_iter().zip(self.list_all(again, size).await?) {
            listed[at].extend(segments);
        }
        let mut holdings = ArchivedSegments { size, runs: BTreeMap::new() };
        listed.into_iter().for_each(|segments| holdings.add(segments));
        Ok(holdings)
    }

    /// The segments of each directory, in the order of `directories`.
    async fn list_all(
        &self,
        directories: Vec<String>,
        size: WalSegmentSize,
    ) -> Result<Vec<Segments>, Error> {
        try_map(directories, REQUESTS_AT_ONCE, |directory| {
            let archive = self.clone();
            async move {
                let mut segments = archive.modified_in(&directory).await?;
                segments.retain(|segment, _| segment.fits(size));
                Ok(segments)
            }
        })
        .await
    }

    /// Lists a directory of the archive; an empty name is the archive's own directory.
    pub async fn list(&self, directory: &str) -> Result<DirectoryListing, Error> {
        let path = match directory {
            "" => self.directory.clone(),
            name => self.directory.join(name)?,
        };
        let mut listed = DirectoryListing::default();
        for entry in self.storage.list(&path, false).await? {
            match entry.kind {
                EntryKind::Directory => listed.directories.push(entry.path),
                EntryKind::Object { size } => match StoredWal::parse(&entry.path, size) {
                    Some(stored) => listed.files.push(stored),
                    None => listed.foreign.push(entry.path),
                },
            }
        }
        Ok(listed)
    }

    /// The first and the last segment of the archive by name, as `info` shows them.
    pub async fn min_max(&self) -> Result<Option<(WalSegment, WalSegment)>, Error> {
        let directories = self.segment_directories().await?;
        let Some(min) = self.first_segment(directories.iter(), BTreeSet::first).await? else {
            return Ok(None);
        };
        let max = self.first_segment(directories.iter().rev(), BTreeSet::last).await?;
        Ok(max.map(|max| (min, max)))
    }

    /// The last segment of each timeline, with the time it was archived, seconds since 1970, if the store reports times.
    pub async fn newest_by_timeline(
        &self,
    ) -> Result<HashMap<TimeLine, (WalSegment, Option<i64>)>, Error> {
        let mut newest = HashMap::new();
        for directory in self.segment_directories().await?.iter().rev() {
            let Ok(timeline) = u32::from_str_radix(&directory[..8], 16) else { continue };
            if newest.contains_key(&TimeLine(timeline)) {
                continue;
            }
            if let Some((segment, modified)) = self.modified_in(directory).await?.pop_last() {
                newest.insert(TimeLine(timeline), (segment, modified));
            }
        }
        Ok(newest)
    }

    /// Picks a segment from the first directory that has any.
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

    /// The names of the directories that hold segments, sorted.
    async fn segment_directories(&self) -> Result<Vec<String>, Error> {
        let upper = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
        let entries = self.storage.list(&self.directory, false).await?;
        let directories = entries.into_iter().filter(|e| e.kind == EntryKind::Directory);
        let names = directories.map(|e| e.path.file_name().to_owned());
        Ok(names.filter(|name| name.len() == 16 && name.bytes().all(upper)).collect())
    }

    async fn segments_in(&self, directory: &str) -> Result<BTreeSet<WalSegment>, Error> {
        Ok(self.modified_in(directory).await?.into_keys().collect())
    }

    async fn modified_in(&self, directory: &str) -> Result<Segments, Error> {
        let entries = self.storage.list(&self.directory.join(directory)?, false).await?;
        let segment = |entry: &Entry| match StoredWal::parse(&entry.path, 0)?.file {
            ArchiveFile::Segment(segment) => Some((segment, entry.modified)),
            _ => None,
        };
        Ok(entries.iter().filter_map(segment).collect())
    }
}

/// The indexes of the listed directories that have a gap, or end or begin at one.
fn beside_holes(listed: &[Segments], size: WalSegmentSize) -> Vec<usize> {
    let mut beside = BTreeSet::new();
    let mut before: Option<(usize, WalSegment)> = None;
    for (at, segments) in listed.iter().enumerate() {
        for segment in segments.keys() {
            if let Some((other, previous)) = before
                && previous.timeline == segment.timeline
                && previous.number(size) + 1 != segment.number(size)
            {
                beside.extend([other, at]);
            }
            before = Some((at, *segment));
        }
    }
    beside.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_beside_a_hole_are_looked_at_again() {
        let size = WalSegmentSize::DEFAULT;
        let listed = |numbers: &[u64], timeline| -> Segments {
            let segment = |n: &u64| (WalSegment::from_number(*n, TimeLine(timeline), size), None);
            numbers.iter().map(segment).collect()
        };
        let whole = [listed(&[254, 255], 1), listed(&[256, 257], 1), listed(&[9], 2)];
        assert_eq!(beside_holes(&whole, size), [0; 0]);
        let cut = [listed(&[254], 1), listed(&[], 1), listed(&[256, 257], 1), listed(&[512], 1)];
        assert_eq!(beside_holes(&cut, size), [0, 2, 3]);
        let within = [listed(&[1, 2], 1), listed(&[256, 258], 2), listed(&[512], 3)];
        assert_eq!(beside_holes(&within, size), [1]);
    }
}
