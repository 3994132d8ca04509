//! Proves that the WAL in the archive is that of the server which was backed up. Names prove nothing: two copies of a
//! cluster that were promoted to the same timeline write different WAL under the same names.
//!
//! - The backup history file of this backup is there. The server writes it at the end of a backup, with the backup's
//!   label in it, and its archiver stores it after the first segment.
//! - The archiver does not fail for one of the segments.
//! - The last segment ends with the record of this backup's end. Archivers go by the order of names, so those before
//!   it were stored or found to be the same.
//! - Where the data directory is read, each segment that `pg_wal` still has is the one in the archive, byte for byte.
//!
//! A standby writes neither file nor record: there the digests and the primary's archiver are all there is, and the
//! last segment may not be whole in its `pg_wal`.

use std::{collections::BTreeMap, fmt, io::Read, sync::Arc};

use super::cluster::Cluster;
use crate::{
    backup::source::{BackupStart, BackupStop},
    codec::Sha256Hasher,
    command::{Error, Result, wal_tail},
    postgres::{BACKUP_END_LENGTH, BackupLabelFile, DataDirectory, SqlClient, backup_end},
    repo::archive::{SegmentRange, WalArchive},
    types::{ArchiveFile, DataPath, ErrorCode, Lsn, Sha256, TimeLine, WalSegment, WalSegmentSize},
};

const NAMED_MAX: usize = 5;
/// A backup history file has some 400 bytes and the label.
const HISTORY_MAX: usize = 64 << 10;
/// Bytes of a segment that are read at a time.
const READ_SIZE: usize = 1 << 20;

/// What a backup still waits for.
#[derive(Debug)]
pub(super) enum Lacking {
    /// Segments, the first few of them.
    Segments(Vec<WalSegment>),
    /// The backup history file.
    History(ArchiveFile),
    /// The archiver gets no further than this file.
    Archiver(String),
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segments(missing) => {
                let names: Vec<String> = missing.iter().map(WalSegment::to_string).collect();
                write!(f, "WAL segment(s) {} did not reach the archive", names.join(", "))
            }
            Self::History(file) => write!(
                f,
                "backup history file {file}, by which the WAL in the archive is known to be this server's, did not \
                 reach the archive"
            ),
            Self::Archiver(file) => write!(f, "the server did not get {file} archived"),
        }
    }
}

/// The WAL of a backup, and what proves it.
pub(super) struct Proof<'a> {
    archive: &'a WalArchive,
    /// The server that archives, where there is a session with it.
    server: Option<&'a SqlClient>,
    directory: Option<&'a Arc<DataDirectory>>,
    range: SegmentRange,
    /// What a primary leaves at the end of a backup.
    history: Option<History>,
    stop: Lsn,
}

/// The backup history file, and what it must say.
struct History {
    file: ArchiveFile,
    label: String,
    start: Lsn,
    stop: Lsn,
}

impl<'a> Proof<'a> {
    /// What is to be proven for the backup with this label.
    pub(super) async fn new(
        archive: &'a WalArchive,
        cluster: &'a Cluster,
        label: String,
        start: &BackupStart,
        stop: &BackupStop,
    ) -> Result<Self> {
        let size = cluster.source.facts().wal_segment_size;
        let first = WalSegment::containing(start.lsn, start.timeline, size);
        let last = WalSegment::ending_at(stop.lsn, stop.timeline, size);
        let range = SegmentRange { first, last, size };
        let server = cluster.archiving_server();
        let history = match cluster.source.facts().in_recovery {
            true => None,
            false => Some(History {
                file: history_file(start.lsn, stop.timeline, size),
                label: super::server_label(&label),
                start: start.lsn,
                stop: stop.lsn,
            }),
        };
        let proof = Self {
            archive,
            server,
            directory: cluster.directory.as_ref(),
            range,
            history: None,
            stop: stop.lsn,
        };
        match proof.archives().await? {
            true => Ok(Self { history, ..proof }),
            false => {
                tracing::warn!(
                    "archive_mode is off, so the server does not archive its WAL itself: that the WAL in the archive \
                     is this server's is not proven"
                );
                Ok(proof)
            }
        }
    }

    /// The first and the last segment.
    pub(super) fn ends(&self) -> (WalSegment, WalSegment) {
        (self.range.first, self.range.last)
    }

    /// Whether the server archives by itself.
    async fn archives(&self) -> Result<bool> {
        let Some(server) = self.server else { return Ok(true) };
        Ok(server.setting_if_visible("archive_mode").await?.as_deref() != Some("off"))
    }

    /// What is still waited for; `None` where all is there.
    pub(super) async fn lacking(&self) -> Result<Option<Lacking>> {
        let missing = self.archive.missing(self.range, NAMED_MAX).await?;
        if !missing.is_empty() {
            return Ok(Some(Lacking::Segments(missing)));
        }
        if let Some(history) = &self.history {
            let Some(stored) = self.archive.find(history.file).await? else {
                return Ok(Some(Lacking::History(history.file)));
            };
            history.check(&self.archive.read_small(&stored, HISTORY_MAX).await?)?;
        }
        Ok(self.failing().await?.map(Lacking::Archiver))
    }

    /// The file of this backup that the server cannot get archived.
    async fn failing(&self) -> Result<Option<String>> {
        let Some(server) = self.server else { return Ok(None) };
        let facts = match server.archiver().await {
            // The WAL is looked for in the archive; that the server went away meanwhile makes it no worse.
            Err(_) if server.is_closed() => return Ok(None),
            facts => facts?,
        };
        let Some(name) = facts.last_failed_wal.filter(|_| facts.failing) else { return Ok(None) };
        let file = name.parse::<ArchiveFile>().ok().and_then(ArchiveFile::segment);
        let within =
            |segment: WalSegment| segment >= self.range.first && segment <= self.range.last;
        Ok(file.is_some_and(within).then_some(name))
    }

    /// Looks into the segments, once all of them are there.
    pub(super) async fn check_content(&self) -> Result<()> {
        let last_is_proven = self.check_local().await?;
        match &self.history {
            Some(history) if !last_is_proven => self.check_end(history.start).await,
            _ => Ok(()),
        }
    }

    /// Compares the segments with those of `pg_wal`. Says whether the last one was among them.
    async fn check_local(&self) -> Result<bool> {
        let Some(directory) = self.directory else { return Ok(false) };
        let archived = self.digests().await?;
        for (segment, digest) in archived {
            // A standby may not have received the end of the last one.
            if self.history.is_none() && segment == self.range.last {
                continue;
            }
            let (directory, size) = (Arc::clone(directory), self.range.size);
            let read = move || local_digest(&directory, segment, size);
            let local = tokio::task::spawn_blocking(read).await;
            let local = local.map_err(|source| Error::Start {
                what: "the thread that reads pg_wal ended",
                source: source.into(),
            })?;
            match local {
                Some(local) if local != digest => return Err(foreign(segment)),
                Some(_) if segment == self.range.last => return Ok(true),
                _ => {}
            }
        }
        Ok(false)
    }

    /// The digests of the archived segments, in order.
    async fn digests(&self) -> Result<BTreeMap<WalSegment, Sha256>> {
        let mut digests = BTreeMap::new();
        let SegmentRange { first, last, size } = self.range;
        let per_directory = (1_u64 << 32) / size.bytes();
        let directory_of = |segment: WalSegment| segment.number(size) / per_directory;
        for number in directory_of(first)..=directory_of(last) {
            let segment = WalSegment::from_number(number * per_directory, first.timeline, size);
            for stored in self.archive.stored_in(&segment.directory()).await? {
                let ArchiveFile::Segment(segment) = stored.file else { continue };
                if segment < first || segment > last {
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
        let last = self.range.last;
        let stored = self.archive.find(ArchiveFile::Segment(last)).await?;
        let stored = stored.ok_or_else(|| foreign(last))?;
        match wal_tail::records_before(self.archive, &stored, self.stop, BACKUP_END_LENGTH).await? {
            Some(records) if backup_end(&records) != Some(start) => Err(foreign(last)),
            // Where it begins in the segment before, the history file is what there is.
            _ => Ok(()),
        }
    }
}

impl History {
    fn check(&self, bytes: &[u8]) -> Result<()> {
        let found = BackupLabelFile::parse(bytes)?;
        if (&found.label, found.start, found.stop) == (&self.label, self.start, Some(self.stop)) {
            return Ok(());
        }
        Err(Error::Check {
            what: format!(
                "backup history file {} in the archive is that of another backup: '{}'",
                self.file,
                found.label.escape_debug()
            ),
            code: ErrorCode::ArchiveMismatch,
            hint: OTHER_SERVER.to_owned(),
        })
    }
}

const OTHER_SERVER: &str = "another server archives into this stanza, such as a restored copy on the same timeline: give \
                            it a stanza of its own or restore copies with --archive-mode=off. This server's WAL is not \
                            in the archive: see its log, and promote it to a timeline of its own to archive here";

fn foreign(segment: WalSegment) -> Error {
    Error::Check {
        what: format!("WAL segment {segment} in the archive is not the one that this server wrote"),
        code: ErrorCode::ArchiveMismatch,
        hint: OTHER_SERVER.to_owned(),
    }
}

/// The file that the server writes at the end of a backup (`BackupHistoryFileName`).
fn history_file(start: Lsn, timeline: TimeLine, size: WalSegmentSize) -> ArchiveFile {
    let segment = WalSegment::containing(start, timeline, size);
    let offset = start.0 - segment.start(size).0;
    ArchiveFile::BackupHistory(segment, offset as u32)
}

/// The digest of a segment in `pg_wal`; `None` where it is not there any more, is being made into another, or cannot
/// be read.
fn local_digest(
    directory: &DataDirectory,
    segment: WalSegment,
    size: WalSegmentSize,
) -> Option<Sha256> {
    let path = DataPath::new(format!("pg_wal/{segment}").as_bytes()).ok()?;
    let mut file = directory.open_file(&path).ok()??;
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
    (still_there && read == size.bytes()).then(|| hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_file_must_be_of_this_backup() {
        let history = History {
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
