//! BASE_BACKUP: the command of each version, and the answer as events that are the same for both forms of the protocol
//! (one COPY per archive up to 14, one tagged COPY from 15 on).

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

/// Maximum number of warnings kept: a damaged disk can cause thousands.
const COMPLAINTS_MAX: usize = 1000;

/// A row of the tablespace list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablespaceRow {
    /// OID and location; `None` for the data directory.
    pub tablespace: Option<(Oid, Vec<u8>)>,
    /// Size in bytes, if PROGRESS was requested.
    pub size: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupStarted {
    /// The redo position of the checkpoint.
    pub lsn: Lsn,
    pub timeline: TimeLine,
    /// The tablespaces in the order of their archives, including the data directory (without OID).
    pub tablespaces: Vec<TablespaceRow>,
}

/// Events of the answer, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupEvent {
    /// Begins the archive of a tablespace, or of the data directory (`None`). The previous archive is complete.
    Archive(Option<Oid>),
    Data(Bytes),
    /// Begins the manifest. The last archive is complete.
    Manifest,
    ManifestData(Bytes),
    End {
        /// The position at which recovery becomes consistent.
        lsn: Lsn,
        timeline: TimeLine,
        /// The server's message about damaged pages.
        complaints: Vec<String>,
    },
}

/// A running BASE_BACKUP.
pub struct BaseBackup {
    client: ReplicationClient,
    tagged: bool,
    phase: Phase,
    started: BackupStarted,
    /// Number of archives whose COPY did not begin yet (up to 14).
    archives: VecDeque<Option<Oid>>,
    warnings: Vec<ServerError>,
    /// Omitted entries that were not returned yet.
    left_out: Vec<LeftOut>,
    /// Whether an incremental backup was requested and the server is still preparing it.
    preparing_incremental: bool,
}

/// Position in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Before a COPY.
    BeforeCopy,
    InArchive,
    InManifest,
    /// Before the result with the end position.
    BeforeEnd,
    Ended,
}

impl BaseBackup {
    /// Sends BASE_BACKUP, waits for the server's checkpoint, and reads up to the first archive. An error that rules
    /// out only an incremental backup is [`super::Error::NotIncremental`].
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

    pub fn started(&self) -> &BackupStarted {
        &self.started
    }

    /// The next event. Do not call it after `End` or an error.
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

    /// Returns the session after `End`.
    pub fn into_client(self) -> ReplicationClient {
        self.client
    }
}
