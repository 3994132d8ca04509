//! The WAL archive of a stanza: object names, lookup, reading and writing.
//!
//! ```text
//! archive/<stanza>/<archive id>/<timeline>.history-<sha256>
//! archive/<stanza>/<archive id>/<first 16 digits>/<segment>-<sha256>[.<ext>]
//! archive/<stanza>/<archive id>/<first 16 digits>/<segment>.partial-<sha256>[.<ext>]
//! archive/<stanza>/<archive id>/<first 16 digits>/<segment>.<offset>.backup-<sha256>
//! ```
//!
//! The SHA-256 is that of the raw bytes: a reader verifies against it, and two different files under one name show in
//! a listing. An object is the common header, the raw size as u64 little-endian, and then frames of the header's
//! compression type that together hold the raw bytes. A writer puts [`FRAME_RAW_SIZE`] bytes into every frame but the
//! last; a reader accepts any frame size up to the codec's bound.

mod in_order;
mod listing;
mod name;
mod parallel_read;
mod read;
mod sink;
mod stored;
mod stored_stream;
mod write;

use std::{collections::BTreeMap, sync::Arc};

pub use listing::{ArchivedSegments, DirectoryListing, SegmentRange, SegmentRun};
pub use name::StoredWal;
pub use sink::RawSink;
pub use stored::archive_ids;
pub use write::{Prepared, PutOptions, PutOutcome, RawSource};

use super::{Error, layout};
use crate::{
    storage::{Entry, EntryKind, ObjectPath, Storage},
    types::{ArchiveFile, ArchiveId, Sha256, StanzaName, TimeLine, TimelineHistory},
};

/// Raw bytes in a frame of an archived file, the last one excepted.
pub const FRAME_RAW_SIZE: usize = 1 << 20;

/// The largest archived file in raw bytes: a segment of the largest size that initdb accepts.
pub const RAW_SIZE_MAX: u64 = 1 << 30;

/// The archive of one cluster of a stanza.
#[derive(Clone, Debug)]
pub struct WalArchive {
    storage: Arc<dyn Storage>,
    directory: ObjectPath,
}

impl WalArchive {
    /// The archive of `archive_id` in `stanza`, whether it exists or not.
    pub fn new(
        storage: Arc<dyn Storage>,
        stanza: &StanzaName,
        archive_id: ArchiveId,
    ) -> Result<Self, Error> {
        let directory = layout::archive_directory(stanza)?.join(&archive_id.to_string())?;
        Ok(Self { storage, directory })
    }

    /// Path in the repository.
    pub fn directory(&self) -> &ObjectPath {
        &self.directory
    }

    /// Finds a file. `None` is proven absence: the listing succeeded and did not have it. Two objects with different
    /// content are [`Error::Duplicate`].
    pub async fn find(&self, file: ArchiveFile) -> Result<Option<StoredWal>, Error> {
        let stored = self.all_of(file).await?;
        match stored.iter().find(|other| other.digest != stored[0].digest) {
            Some(other) => Err(self.duplicate(file, stored[0].digest, other.digest)),
            None => Ok(stored.into_iter().next()),
        }
    }

    /// When a file was archived, seconds since 1970; `None` if it is not there or the store reports no times.
    pub async fn archived_at(&self, file: ArchiveFile) -> Result<Option<i64>, Error> {
        let directory = self.directory_of(file)?;
        let entries = self.storage.list_prefix(&directory, &format!("{file}-")).await?;
        Ok(entries.iter().filter_map(|entry| entry.modified).max())
    }

    /// All objects that hold `file`: more than one if it was stored with two compression types, or if two servers
    /// stored different bytes.
    async fn all_of(&self, file: ArchiveFile) -> Result<Vec<StoredWal>, Error> {
        let directory = self.directory_of(file)?;
        let entries = self.storage.list_prefix(&directory, &format!("{file}-")).await?;
        let mut stored = Vec::with_capacity(entries.len());
        for entry in entries {
            let EntryKind::Object { size } = entry.kind else { continue };
            let damaged = || Error::format(self.name_of(&entry.path), "its name has no SHA-256");
            stored.push(StoredWal::parse(&entry.path, size).ok_or_else(damaged)?);
        }
        Ok(stored)
    }

    /// The timelines whose history files are in the archive, with the time each was archived, seconds since 1970, if the
    /// store reports times.
    pub async fn timeline_histories(&self) -> Result<BTreeMap<TimeLine, Option<i64>>, Error> {
        let entries = self.storage.list(&self.directory, false).await?;
        let history = |entry: &Entry| match StoredWal::parse(&entry.path, 0)?.file {
            ArchiveFile::History(timeline) => Some((timeline, entry.modified)),
            _ => None,
        };
        Ok(entries.iter().filter_map(history).collect())
    }

    /// The history of a timeline; `None` if its file is not in the archive.
    pub async fn timeline_history(
        &self,
        timeline: TimeLine,
    ) -> Result<Option<TimelineHistory>, Error> {
        let Some(stored) = self.find(ArchiveFile::History(timeline)).await? else {
            return Ok(None);
        };
        let bytes = self.read_small(&stored, TimelineHistory::SIZE_MAX).await?;
        let history = TimelineHistory::parse(timeline, &bytes);
        history.map(Some).map_err(|error| Error::Wal {
            object: self.name_of(&stored.path),
            source: error.into(),
        })
    }

    fn directory_of(&self, file: ArchiveFile) -> Result<ObjectPath, Error> {
        Ok(match file.segment() {
            Some(segment) => self.directory.join(&segment.directory())?,
            None => self.directory.clone(),
        })
    }

    /// The object's name in errors.
    fn name_of(&self, path: &ObjectPath) -> String {
        format!("{}/{path}", self.storage.location())
    }

    fn duplicate(&self, file: ArchiveFile, first: Sha256, second: Sha256) -> Error {
        let directory = self.name_of(&self.directory);
        let what = format!(
            "'{file}' is in the archive '{directory}' with other content: SHA-256 {first} and {second}"
        );
        Error::Duplicate { what }
    }
}

#[cfg(test)]
mod tests;
