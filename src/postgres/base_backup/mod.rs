//! BASE_BACKUP: the command for each version, and its answer as a sequence of events that is the
//! same for both forms of the protocol (one COPY an archive up to 14, one tagged COPY from 15 on).

mod answer;
mod command;
mod copy;
mod left_out;
mod upload;

use std::collections::VecDeque;

use bytes::Bytes;

use super::{ReplicationClient, Result, ServerError};
use crate::types::{Lsn, Oid, PgVersion, TimeLine};

pub use command::BaseBackupOptions;
pub use left_out::LeftOut;

/// Warnings kept for the end; a damaged disk can give thousands.
const COMPLAINTS_MAX: usize = 1000;

/// A row of the tablespace list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablespaceRow {
    /// Its object identifier and directory; `None` for the data directory itself.
    pub tablespace: Option<(Oid, Vec<u8>)>,
    /// Its size in bytes, where PROGRESS was asked for.
    pub size: Option<u64>,
}

/// Where the backup began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupStarted {
    /// The redo position.
    pub lsn: Lsn,
    /// Its timeline.
    pub timeline: TimeLine,
    /// The tablespaces, in the order of their archives; the data directory among them, without an oid.
    pub tablespaces: Vec<TablespaceRow>,
}

/// What the answer holds, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupEvent {
    /// An archive begins: of a tablespace, or (`None`) of the data directory. The one before, where
    /// there was one, is complete.
    Archive(Option<Oid>),
    /// Bytes of the archive.
    Data(Bytes),
    /// The manifest begins; the last archive is complete.
    Manifest,
    /// Bytes of the manifest.
    ManifestData(Bytes),
    /// The backup is complete.
    End {
        /// Where recovery becomes consistent.
        lsn: Lsn,
        /// Its timeline.
        timeline: TimeLine,
        /// What the server said of damaged pages.
        complaints: Vec<String>,
    },
}

/// A backup under way on a session.
pub struct BaseBackup {
    client: ReplicationClient,
    tagged: bool,
    phase: Phase,
    started: BackupStarted,
    /// Archives whose COPY is still to come (up to 14).
    archives: VecDeque<Option<Oid>>,
    warnings: Vec<ServerError>,
    /// Entries that the server reported as left out and that were not taken yet.
    left_out: Vec<LeftOut>,
    /// Whether an incremental backup was asked for and the server still prepares it.
    preparing_incremental: bool,
}

/// Where in the answer the backup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A COPY is expected.
    BeforeCopy,
    /// In the COPY of an archive.
    InArchive,
    /// In the COPY of the manifest.
    InManifest,
    /// The result with the end position is expected.
    BeforeEnd,
    /// Done.
    Ended,
}

impl BaseBackup {
    /// Sends BASE_BACKUP and reads up to the first archive; waits for the server's checkpoint. An error
    /// that speaks against incremental backups alone is [`super::Error::NotIncremental`].
    pub async fn start(
        mut client: ReplicationClient,
        version: PgVersion,
        options: &BaseBackupOptions,
    ) -> Result<Self> {
        if let Some(manifest) = &options.prior_manifest {
            upload::manifest(&mut client, manifest).await?;
        }
        client.send_query(&options.command(version)).await?;
        let mut backup = Self {
            client,
            tagged: version.major() >= 15,
            phase: Phase::BeforeCopy,
            started: BackupStarted {
                lsn: Lsn::default(),
                timeline: TimeLine::FIRST,
                tablespaces: Vec::new(),
            },
            archives: VecDeque::new(),
            warnings: Vec::new(),
            left_out: Vec::new(),
            preparing_incremental: options.prior_manifest.is_some(),
        };
        backup.read_start().await?;
        backup.preparing_incremental = false;
        Ok(backup)
    }

    /// Where the backup began.
    pub fn started(&self) -> &BackupStarted {
        &self.started
    }

    /// The next event; nothing follows `End` or an error.
    pub async fn next(&mut self) -> Result<BackupEvent> {
        loop {
            let event = match self.phase {
                Phase::BeforeCopy => self.begin_copy().await?,
                Phase::InArchive | Phase::InManifest => self.continue_copy().await?,
                Phase::BeforeEnd => Some(self.read_end().await?),
                Phase::Ended => return Err(super::Error::protocol("the backup has ended already")),
            };
            if let Some(event) = event {
                return Ok(event);
            }
        }
    }

    /// Gives the session back, after `End`.
    pub fn into_client(self) -> ReplicationClient {
        self.client
    }
}
