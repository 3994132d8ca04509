//! Where the bytes of a backup come from. One seam, [`BackupSource`]; nothing after it knows which
//! source stands behind it.

mod facts;
mod left_out;
mod local;
mod rebuild;
mod stream;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    postgres::WalRange,
    repo::manifest::{Span, WalPosition},
    types::{DataPath, Lsn, Oid, PgVersion, SystemId, TimeLine, TimelineHistory, WalSegmentSize},
};

pub use local::{LocalSource, Unfit};
pub use stream::StreamSource;

/// Which source a backup comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// The replication protocol.
    Stream,
    /// The files of a data directory on this host.
    Local,
}

impl SourceKind {
    /// Its name in options, manifests and the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Local => "local",
        }
    }
}

/// The cluster, as a source knows it before the first file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFacts {
    /// The cluster's system identifier.
    pub system_id: SystemId,
    /// The server's major version.
    pub version: PgVersion,
    /// The server's full version number, as `server_version_num` has it (150018).
    pub version_num: u32,
    /// Size of a WAL segment.
    pub wal_segment_size: WalSegmentSize,
    /// Size of a data page in bytes.
    pub page_size: u32,
    /// Whether pages carry checksums.
    pub page_checksums: bool,
    /// Permission bits of the data directory, which is no entry of its own.
    pub data_directory_mode: u32,
    /// Whether the server is in recovery (a standby).
    pub in_recovery: bool,
}

/// Where a backup began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupStart {
    /// The redo position that recovery starts at.
    pub lsn: Lsn,
    /// The timeline of that position.
    pub timeline: TimeLine,
    /// The tablespaces outside the data directory.
    pub tablespaces: Vec<Tablespace>,
    /// The size of what will come in bytes, where the source can estimate it.
    pub size_estimate: Option<u64>,
    /// When the copying began by the clock that the files' times come from, microseconds since 1970, where
    /// the source knows. What was written to a file before that second is in the copy.
    pub copy_start_us: Option<i64>,
}

/// A tablespace outside the data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tablespace {
    /// Its object identifier, also the name of its link in `pg_tblspc`.
    pub oid: Oid,
    /// Its directory on the server, as the link has it.
    pub location: Vec<u8>,
}

/// Where a backup ended, and what came with the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupStop {
    /// The position up to which recovery must go before the copy is consistent.
    pub lsn: Lsn,
    /// The timeline of that position, with its history as the server has it where the backup began on an older one.
    pub history: TimelineHistory,
    /// PostgreSQL's own backup_manifest, byte for byte; `None` from a source that leaves it to the pipeline
    /// to make one of what it stored.
    pub backup_manifest: Option<Bytes>,
    /// The server's warnings of damaged pages; empty when it found none.
    pub checksum_complaints: Vec<String>,
    /// Entries of the data directory that the source could not give: links, and what is behind them.
    pub left_out: Vec<DataPath>,
}

impl BackupStop {
    /// The timeline of the stop.
    pub fn timeline(&self) -> TimeLine {
        self.history.timeline
    }

    /// The WAL from where the backup began, as the server's manifest has it (`AddWALInfoToBackupManifest`): a range for
    /// each timeline, the newest first.
    pub(super) fn wal_ranges(&self, start: &BackupStart) -> Vec<WalRange> {
        let (mut timeline, mut end) = (self.timeline(), self.lsn);
        let mut ranges = Vec::new();
        let older = self.history.ancestors.iter().filter(|entry| entry.timeline >= start.timeline);
        for parent in older.rev() {
            ranges.push(WalRange { timeline, start: parent.end, end });
            (timeline, end) = (parent.timeline, parent.end);
        }
        ranges.push(WalRange { timeline, start: start.lsn, end });
        ranges
    }
}

/// What kind of thing an entry of the data directory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A file of `size` bytes; exactly as many bytes follow before its end.
    File {
        /// Size in bytes.
        size: u64,
        /// How many of them are those of the prior backup, and come as [`SourceEvent::Unchanged`].
        unchanged: u64,
    },
    /// A directory; no bytes follow.
    Directory,
    /// A symbolic link; no bytes follow.
    Link {
        /// Where it points.
        target: Vec<u8>,
    },
}

/// One entry of the data directory. Files of a tablespace are named through its link:
/// `pg_tblspc/16401/PG_15_202209061/5/16402`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// The path from the data directory.
    pub path: DataPath,
    /// File, directory or link.
    pub kind: FileKind,
    /// Permission bits.
    pub mode: u32,
    /// Modification time, seconds since 1970.
    pub modified: i64,
    /// Numeric owner on the server.
    pub uid: u32,
    /// Numeric group on the server.
    pub gid: u32,
    /// Of a file or directory that is a symbolic link on the server: where the link points.
    pub link: Option<Vec<u8>>,
}

/// The bytes of a file that can be read on any thread.
pub trait FileBytes: std::fmt::Debug + Send + Sync {
    /// Fills `buffer` with the bytes from `offset` on. Where the file has got shorter meanwhile, or is gone,
    /// the rest is zeros, as in a backup that the server sends: WAL mends what happens during a backup.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), super::Error>;
}

/// Bytes that a source leaves to be read.
#[derive(Clone, Debug)]
pub struct Deferred {
    /// The file, which the bytes are read from at the place they have in it.
    pub file: Arc<dyn FileBytes>,
    /// How many there are.
    pub len: u64,
}

impl PartialEq for Deferred {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.file, &other.file) && self.len == other.len
    }
}

impl Eq for Deferred {}

/// What a source yields after the start. For every entry exactly one `Begin`, the bytes of a file in
/// order, exactly one `End`, also for empty files, directories and links; at the very end one `Stop`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceEvent {
    /// An entry begins.
    Begin(FileHeader),
    /// Bytes of the file that began last; never empty.
    Bytes(Bytes),
    /// Bytes of the file that began last, to be read before the source is asked for what follows a
    /// [`SourceEvent::Settle`]. A file comes in bytes or deferred, not both.
    Deferred(Deferred),
    /// All deferred bytes so far are to be read before the next event is asked for. Not inside an entry.
    Settle,
    /// Number of bytes of the current file that equal those of the prior backup at the same place
    /// of the file with the same path: whole blocks, or blocks up to the file's end.
    Unchanged(u64),
    /// The entry is complete.
    End,
    /// The backup is complete.
    Stop(BackupStop),
}

/// A source of backups. The calls are made in this order: `facts`, `start`, then `next` until `Stop`.
#[async_trait]
pub trait BackupSource: Send {
    /// Which source it is.
    fn kind(&self) -> SourceKind;

    /// Whether its server makes the backup_manifest, which comes with the stop. Of any other source the writer makes one of
    /// what it stores.
    fn makes_manifest(&self) -> bool;

    /// The cluster.
    fn facts(&self) -> &ClusterFacts;

    /// The timeline that the server was on when the connection was made.
    fn timeline(&self) -> TimeLine;

    /// Begins the backup: returns after the server's checkpoint. Where a prior backup was given, an error
    /// of which [`super::Error::is_about_incremental`] is true means that a source without one would do.
    async fn start(&mut self, options: &SourceOptions) -> Result<BackupStart, super::Error>;

    /// The next event. After `Stop`, or an error, the source is done. An error can be about the prior
    /// backup here too.
    async fn next(&mut self) -> Result<SourceEvent, super::Error>;

    /// Ends the server's side of a backup that is given up; called at most once, instead of more `next`.
    async fn cancel(&mut self);
}

/// How a source is asked to take the backup.
#[derive(Clone, Debug, Default)]
pub struct SourceOptions {
    /// The label given to the server; it ends up in `backup_label`.
    pub label: String,
    /// Ask for an immediate checkpoint instead of waiting for the next.
    pub start_fast: bool,
    /// Limit of what the server sends, in kB/s (32..=1048576).
    pub max_rate_kb: Option<u32>,
    /// Tablespaces that are directories in `pg_tblspc`, as SQL knows them.
    pub in_place_tablespaces: Vec<Oid>,
    /// What is known of the prior backup: then the source may leave out what has not changed since. It need
    /// not; what it yields is compared block by block.
    pub hints: Option<SourceHints>,
}

/// The part of the prior backup that helps a source to leave out unchanged files and blocks.
#[derive(Clone, Debug)]
pub struct SourceHints {
    /// Its files.
    pub files: Arc<dyn PriorFiles>,
    /// Its start and stop in the WAL.
    pub wal: Span<WalPosition>,
    /// How to tell that something has not changed.
    pub hint: ChangeHint,
}

/// How a source can tell that something has not changed since the prior backup.
#[derive(Clone, Debug)]
pub enum ChangeHint {
    /// The server's WAL summaries.
    Summaries {
        /// PostgreSQL's own backup_manifest of the prior backup, byte for byte, which a server that
        /// sends the files must have.
        backup_manifest: Bytes,
    },
    /// Sizes and times of files, if the copying of the prior backup began this number of microseconds after
    /// 1970, as [`BackupStart::copy_start_us`] has it.
    Times {
        /// When that was.
        since_us: i64,
    },
}

/// A file of a backup as a source needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriorFile {
    /// Its size in bytes.
    pub size: u64,
    /// Its modification time, seconds since 1970.
    pub modified: i64,
}

/// The files of a backup.
pub trait PriorFiles: std::fmt::Debug + Send + Sync {
    /// A file; `None` where the backup does not have it.
    fn file(&self, path: &DataPath) -> Option<PriorFile>;
}
