//! The questions that a backup asks the servers of the cluster. The command connects; a test can answer from memory.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;

use super::{Error, Result, source::BackupSource};
use crate::{
    postgres::{
        ArchiverFacts, ControlCheckpoint, DataDirectory, Database, Placement, Required,
        SummaryFacts, TablespaceInfo,
    },
    types::{DataPath, TimeLine, WalSegment},
};

/// Facts of a cluster that were read when it was connected to.
#[derive(Debug)]
pub struct ClusterDetails {
    /// The databases.
    pub databases: Vec<Database>,
    /// The tablespaces outside the data directory.
    pub tablespaces: Vec<TablespaceInfo>,
    /// The directory in a tablespace's location that belongs to the server: `PG_15_202209061`.
    pub version_directory: String,
    /// Whether backups of this cluster may come from one server now and from another then.
    pub several_sources: bool,
    /// The data directory, where the source reads it.
    pub data_directory: Option<Arc<DataDirectory>>,
}

/// A cluster with sessions: the server that the files come from and, where that is a standby, its primary.
#[async_trait(?Send)]
pub trait ConnectedCluster {
    /// Yields the files.
    fn source(&self) -> &dyn BackupSource;

    /// Yields the files.
    fn source_mut(&mut self) -> &mut dyn BackupSource;

    /// Facts that were read when it was connected to.
    fn details(&self) -> &ClusterDetails;

    /// The state of the WAL summaries of the server that the files come from. Only for servers of 17 or later.
    async fn summaries(&self, timeline: TimeLine) -> Result<SummaryFacts>;

    /// The tablespaces outside the data directory, as they are now.
    async fn tablespaces(&self) -> Result<Vec<TablespaceInfo>>;

    /// The tablespaces and databases of the server, as they are now.
    async fn placement(&self) -> Result<Placement>;

    /// The part of `missing` that the server still has. Waits as long as a DROP can take to commit.
    async fn still_required(&self, missing: BTreeSet<Required>) -> Result<BTreeSet<Required>>;

    /// Part of a file as it is now; `None` where the file is gone, fewer bytes than asked for where it ends before.
    async fn reread(&self, path: &DataPath, offset: u64, length: u32) -> Result<Option<Vec<u8>>>;

    /// A setting of the server that archives the WAL; `None` where there is no session with that server, or where the
    /// role may not see the setting.
    async fn archiver_setting(&self, name: &str) -> Result<Option<String>>;

    /// How archiving does; `None` where there is no session with the server that archives the WAL.
    async fn archiver(&self) -> Result<Option<ArchiverFacts>>;

    /// The last restartpoint of the standby that the files come from.
    async fn restartpoint(&self) -> Result<ControlCheckpoint>;

    /// Connects the sessions again that ended while files were copied.
    async fn renew_sessions(&mut self) -> Result<()>;

    /// Looks for the primary again if the standby switched from timeline `from` to `to` while the backup ran: the one that
    /// is connected is not its primary any more.
    async fn follow_promotion(&mut self, from: TimeLine, to: TimeLine);

    /// The error of the copy, or that the standby was promoted, if the error comes from that.
    async fn explain(&mut self, error: Error) -> Error;

    /// Asks the primary of a standby to end `segment`, so that it is archived. A primary that cannot be asked ends it when
    /// it is full, or when its `archive_timeout` is over: so this fails nothing.
    async fn end_segment(&self, segment: WalSegment);
}
