//! Proves that the WAL in the archive is that of the server which was backed up. Names prove nothing: two copies of a
//! cluster that were promoted to the same timeline write different WAL under the same names.
//!
//! - The backup history file of this backup is there. The server writes it at the end of a backup, with the backup's
//!   label in it, and its archiver stores it after the first segment.
//! - The archiver does not fail for one of the segments.
//! - The last segment ends with the record of this backup's end. Archivers go by the order of names, so those before
//!   it were stored or found to be the same.
//! - Where the data directory is read, each segment that `pg_wal` still has is the one in the archive, byte for byte.
//! - Where a standby went over to another timeline, its history file is there and says what the server's own says.
//!
//! A standby writes neither file nor record. There the archive must have the checkpoint record of the restartpoint that
//! the standby had when the backup began, with its redo position. The last segment may not be whole in its `pg_wal`, so
//! only its part up to the stop is compared.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    sync::Arc,
};

use super::{
    Error, Result,
    cluster::ConnectedCluster,
    lacking_wal::LackingWal,
    source::{BackupStart, BackupStop},
    wal_tail,
};
use crate::{
    codec::Sha256Hasher,
    postgres::{
        BACKUP_END_LENGTH, BackupLabelFile, ControlCheckpoint, DataDirectory, backup_end,
        checkpoint_redo,
    },
    repo::{
        self,
        archive::{RawSink, SegmentRange, WalArchive},
        manifest::{Span, WalPosition},
        wal_needed,
    },
    types::{
        ArchiveFile, DataPath, Lsn, Sha256, TimeLine, TimelineHistory, WalSegment, WalSegmentSize,
    },
    work,
};

const NAMED_MAX: usize = 5;
/// A backup history file has some 400 bytes and the label.
const HISTORY_MAX: usize = 64 << 10;
/// Bytes of a segment that are read at a time.
const READ_SIZE: usize = 1 << 20;

/// The WAL of a backup, and what proves it.
pub(super) struct Proof<'a> {
    archive: &'a WalArchive,
    cluster: &'a dyn ConnectedCluster,
    size: WalSegmentSize,
    /// The segments that the backup needs, a range for each timeline.
    needed: Vec<SegmentRange>,
    first: WalSegment,
    last: WalSegment,
    /// The server's history of the timeline on which the backup stopped, where it began on another one.
    timeline_history: Option<&'a TimelineHistory>,
    /// The backup history file, which a primary writes at the end of a backup.
    backup_history: Option<BackupHistory>,
    stop: Lsn,
    /// The restartpoint of the standby when the backup began.
    restartpoint: Option<ControlCheckpoint>,
}

/// The backup history file, and what it must say.
struct BackupHistory {
    file: ArchiveFile,
    label: String,
    start: Lsn,
    stop: Lsn,
}

impl<'a> Proof<'a> {
    /// The proof for the backup that the server knows by `server_label`.
    pub(super) async fn new(
        archive: &'a WalArchive,
        cluster: &'a dyn ConnectedCluster,
        server_label: String,
        start: &BackupStart,
        stop: &'a BackupStop,
        restartpoint: Option<ControlCheckpoint>,
    ) -> Result<Self> {
        let facts = cluster.source().facts();
        let size = facts.wal_segment_size;
        let wal = Span {
            start: WalPosition { lsn: start.lsn, timeline: start.timeline },
            stop: WalPosition { lsn: stop.lsn, timeline: stop.timeline() },
        };
        let needed = wal_needed::segments(wal, &stop.history, size)?;
        // Of a segment in which a timeline was left, it is the one on the next timeline.
        let first = WalSegment::containing(start.lsn, start.timeline, size);
        let first = needed.first().map_or(first, |range| range.first);
        let last = WalSegment::ending_at(stop.lsn, stop.timeline(), size);
        let backup_history = match facts.in_recovery {
            true => None,
            false => Some(BackupHistory {
                file: history_file(start.lsn, stop.timeline(), size),
                label: server_label,
                start: start.lsn,
                stop: stop.lsn,
            }),
        };
        let proof = Self {
            archive,
            cluster,
            size,
            first,
            last,
            needed,
            timeline_history: wal_needed::history_of(wal).map(|_| &stop.history),
            backup_history: None,
            stop: stop.lsn,
            restartpoint,
        };
        match proof.archives().await? {
            true => Ok(Self { backup_history, ..proof }),
            false => {
                tracing::warn!(
                    "archive_mode is off, so the server does not archive WAL itself: unable to \
                     verify that the WAL in the archive is from this server"
                );
                Ok(proof)
            }
        }
    }

    /// The first and the last segment.
    pub(super) fn ends(&self) -> (WalSegment, WalSegment) {
        (self.first, self.last)
    }

    /// Whether the server archives by itself.
    async fn archives(&self) -> Result<bool> {
        let mode = self.cluster.archiver_setting("archive_mode").await?;
        Ok(mode.as_deref() != Some("off"))
    }

    /// What the archive lacks now; `None` if it has everything.
    pub(super) async fn lacking(&self) -> Result<Option<LackingWal>> {
        if let Some(own) = self.timeline_history {
            let Some(archived) = self.archive.timeline_history(own.timeline).await? else {
                return Ok(Some(LackingWal::TimelineHistory(own.timeline)));
            };
            check_history(own, &archived)?;
        }
        let missing = self.archive.missing(&self.needed, NAMED_MAX).await?;
        if !missing.is_empty() {
            return Ok(Some(LackingWal::Segments(missing)));
        }
        if let Some(history) = &self.backup_history {
            let Some(stored) = self.archive.find(history.file).await? else {
                return Ok(Some(LackingWal::BackupHistory(history.file)));
            };
            history.check(&self.archive.read_small(&stored, HISTORY_MAX).await?)?;
        }
        Ok(self.failing().await?.map(LackingWal::Archiver))
    }

    /// The file that keeps the server from archiving this backup's WAL. An archiver stores history files first, then
    /// segments in the order of their names, and does not pass over one that fails (`pgarch_readyXlog` in `pgarch.c`). So a
    /// failure of an earlier segment proves that a later one in the archive is of another server.
    async fn failing(&self) -> Result<Option<String>> {
        let Some(facts) = self.cluster.archiver().await? else { return Ok(None) };
        let Some(name) = facts.last_failed_wal.filter(|_| facts.failing) else { return Ok(None) };
        let is_needed = match name.parse() {
            Ok(ArchiveFile::History(_)) => true,
            Ok(file) => ArchiveFile::segment(file).is_some_and(|segment| segment <= self.last),
            Err(_) => false,
        };
        Ok(is_needed.then_some(name))
    }

    fn needs(&self, segment: WalSegment) -> bool {
        self.needed.iter().any(|range| range.contains(segment))
    }

    /// Looks into the segments, once all of them are there.
    pub(super) async fn check_content(&self) -> Result<()> {
        let last_is_proven = self.check_local().await?;
        if let Some(restartpoint) = self.restartpoint {
            self.check_restartpoint(restartpoint).await?;
        }
        match &self.backup_history {
            Some(history) if !last_is_proven => self.check_end(history.start).await,
            _ => Ok(()),
        }
    }

    /// Compares the segments with those of `pg_wal`. Says whether the last one was among them.
    async fn check_local(&self) -> Result<bool> {
        let Some(directory) = &self.cluster.details().data_directory else { return Ok(false) };
        let archived = self.digests().await?;
        for (segment, digest) in archived {
            // A standby may not have received the end of the last one.
            let is_cut = self.restartpoint.is_some() && segment == self.last;
            let length = match is_cut {
                true => self.stop.0 - segment.start(self.size).0,
                false => self.size.bytes(),
            };
            let digest = match is_cut {
                true => self.digest_of_start(segment, length).await?,
                false => digest,
            };
            let directory = Arc::clone(directory);
            let read = move || local_digest(&directory, segment, length);
            match work::blocking(read).await? {
                Some(local) if local != digest => return Err(Error::ForeignWal { segment }),
                Some(_) if segment == self.last => return Ok(true),
                _ => {}
            }
        }
        Ok(false)
    }

    /// The digest of the first `length` bytes of an archived segment.
    async fn digest_of_start(&self, segment: WalSegment, length: u64) -> Result<Sha256> {
        let stored = self.archive.find(ArchiveFile::Segment(segment)).await?;
        let stored = stored.ok_or(Error::ForeignWal { segment })?;
        let start = StartDigest { left: length, hasher: Sha256Hasher::new() };
        Ok(self.archive.read(&stored, start).await?.hasher.finish())
    }

    /// The archive must have the checkpoint record of the standby's restartpoint. Another server of the same timeline wrote
    /// another record there.
    async fn check_restartpoint(&self, restartpoint: ControlCheckpoint) -> Result<()> {
        let lsn = restartpoint.checkpoint_lsn;
        let holds = |segment: &WalSegment| {
            let start = segment.start(self.size);
            (start.0..start.0 + self.size.bytes()).contains(&lsn.0)
        };
        let mut segments = self.needed.iter().flat_map(|range| range.iter());
        let Some(segment) = segments.find(holds).filter(|_| lsn < self.stop) else {
            tracing::warn!(
                "the checkpoint at {lsn} is not in the WAL of this backup: it is not proven that the WAL in the archive \
                 is this server's"
            );
            return Ok(());
        };
        let stored = self.archive.find(ArchiveFile::Segment(segment)).await?;
        let stored = stored.ok_or(Error::ForeignWal { segment })?;
        match wal_tail::record_at(self.archive, &stored, lsn, self.size).await? {
            Some(record) if checkpoint_redo(&record) != Some(restartpoint.redo_lsn) => {
                Err(Error::ForeignWal { segment })
            }
            Some(_) => Ok(()),
            // The record is continued in the next segment.
            None => {
                tracing::debug!(
                    "the checkpoint record at {lsn} is in two segments, and not compared"
                );
                Ok(())
            }
        }
    }

    /// The digests of the archived segments, in order.
    async fn digests(&self) -> Result<BTreeMap<WalSegment, Sha256>> {
        let mut digests = BTreeMap::new();
        let directories = self.needed.iter().flat_map(|range| range.directories());
        for directory in directories.collect::<BTreeSet<_>>() {
            for stored in self.archive.stored_in(&directory).await? {
                let ArchiveFile::Segment(segment) = stored.file else { continue };
                if !self.needs(segment) {
                    continue;
                }
                let other = digests.insert(segment, stored.digest);
                if other.is_some_and(|other| other != stored.digest) {
                    // Says which two there are.
                    self.archive.find(stored.file).await?;
                }
            }
        }
        Ok(digests)
    }

    /// The last segment must end with the record of this backup's end.
    async fn check_end(&self, start: Lsn) -> Result<()> {
        let last = self.last;
        let stored = self.archive.find(ArchiveFile::Segment(last)).await?;
        let stored = stored.ok_or(Error::ForeignWal { segment: last })?;
        match wal_tail::records_before(self.archive, &stored, self.stop, BACKUP_END_LENGTH).await? {
            Some(records) if backup_end(&records) != Some(start) => {
                Err(Error::ForeignWal { segment: last })
            }
            // A record that begins in the segment before is not looked at: the history file has to do.
            _ => Ok(()),
        }
    }
}

/// The history in the archive must be that of the server: two that were promoted to the same timeline left the older one
/// at different positions.
fn check_history(own: &TimelineHistory, archived: &TimelineHistory) -> Result<()> {
    let forks = |history: &TimelineHistory| -> Vec<(TimeLine, Lsn)> {
        history.ancestors.iter().map(|entry| (entry.timeline, entry.end)).collect()
    };
    match forks(own) == forks(archived) {
        true => Ok(()),
        false => Err(Error::ForeignTimeline { timeline: own.timeline }),
    }
}

impl BackupHistory {
    fn check(&self, bytes: &[u8]) -> Result<()> {
        let found = BackupLabelFile::parse(bytes)?;
        if (&found.label, found.start, found.stop) == (&self.label, self.start, Some(self.stop)) {
            return Ok(());
        }
        Err(Error::ForeignHistory { file: self.file, label: found.label })
    }
}

/// The file that the server writes at the end of a backup (`BackupHistoryFileName`).
fn history_file(start: Lsn, timeline: TimeLine, size: WalSegmentSize) -> ArchiveFile {
    let segment = WalSegment::containing(start, timeline, size);
    let offset = start.0 - segment.start(size).0;
    ArchiveFile::BackupHistory(segment, offset as u32)
}

/// Digests the first bytes of a segment.
struct StartDigest {
    left: u64,
    hasher: Sha256Hasher,
}

impl RawSink for StartDigest {
    type Error = repo::Error;

    fn accept(&mut self, raw: &[u8]) -> std::result::Result<(), repo::Error> {
        let count = self.left.min(raw.len() as u64);
        self.hasher.update(&raw[..count as usize]);
        self.left -= count;
        Ok(())
    }
}

/// The digest of the first `length` bytes of a segment in `pg_wal`; `None` where it is not there any more, is being made
/// into another, or cannot be read.
fn local_digest(directory: &DataDirectory, segment: WalSegment, length: u64) -> Option<Sha256> {
    let path = DataPath::new(format!("pg_wal/{segment}").as_bytes()).ok()?;
    let mut file = directory.open_file(&path).ok()??.take(length);
    let mut hasher = Sha256Hasher::new();
    let mut buffer = vec![0; READ_SIZE];
    let mut read = 0;
    loop {
        match file.read(&mut buffer).ok()? {
            0 => break,
            count => {
                hasher.update(&buffer[..count]);
                read += count as u64;
            }
        }
    }
    // A segment that is recycled gets the name of a later one before it is written to.
    let still_there = directory.stat(&path).ok()?.is_some();
    (still_there && read == length).then(|| hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_file_must_be_of_this_backup() {
        let history = BackupHistory {
            file: history_file(Lsn(0x200_0028), TimeLine(1), WalSegmentSize::DEFAULT),
            label: "ours".to_owned(),
            start: Lsn(0x200_0028),
            stop: Lsn(0x200_0138),
        };
        assert_eq!(history.file.to_string(), "000000010000000000000002.00000028.backup");
        let text = "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\n\
            STOP WAL LOCATION: 0/2000138 (file 000000010000000000000002)\n\
            CHECKPOINT LOCATION: 0/2000060\nBACKUP METHOD: streamed\nBACKUP FROM: primary\n\
            START TIME: 2026-11-21 11:43:49 UTC\nLABEL: ours\nSTART TIMELINE: 1\n\
            STOP TIME: 2026-11-21 11:43:50 UTC\nSTOP TIMELINE: 1\n";
        history.check(text.as_bytes()).unwrap();
        for (from, to) in [("LABEL: ours", "LABEL: theirs"), ("0/2000138", "0/2000140")] {
            assert!(history.check(text.replace(from, to).as_bytes()).is_err(), "{to}");
        }
    }
}
