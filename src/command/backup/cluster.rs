//! The cluster that is backed up: its replication connection and, beside it, one for SQL.

use crate::{
    backup::source::{BackupSource, BackupStart, BackupStop, SourceOptions, StreamSource},
    command::{Error, Result, context},
    config::Config,
    postgres::{Database, SqlClient, TablespaceInfo},
    repo::stanza::{ClusterId, StanzaEntry, StanzaHistory},
    types::{ErrorCode, WalSegment},
};

/// The connections to the cluster, and what SQL told of it.
pub(super) struct Cluster {
    /// Yields the files.
    pub source: StreamSource,
    /// Answers what the replication protocol does not.
    pub sql: SqlClient,
    /// The databases.
    pub databases: Vec<Database>,
    /// The tablespaces outside the data directory.
    pub tablespaces: Vec<TablespaceInfo>,
}

impl Cluster {
    /// Opens both connections.
    pub(super) async fn connect(config: &Config) -> Result<Self> {
        let options = context::connect_options(config, context::pg(config)?)?;
        let source = StreamSource::connect(&options).await?;
        let sql = SqlClient::connect(&options).await?;
        let databases = sql.databases().await?;
        let tablespaces = sql.tablespaces().await?;
        Ok(Self { source, sql, databases, tablespaces })
    }

    /// Checks that the cluster is the stanza's and that it archives its WAL; returns the stanza's entry.
    pub(super) async fn check(&self, config: &Config, repo: &context::Repo) -> Result<StanzaEntry> {
        let facts = self.source.facts();
        let cluster = ClusterId { system_id: facts.system_id, version: facts.version };
        let history = StanzaHistory::read(&*repo.storage, context::stanza(config)?).await?;
        let entry = history.expect(cluster, ErrorCode::BackupMismatch)?.clone();
        if facts.in_recovery {
            return Err(Error::NotSupported("backup from a standby".to_owned()));
        }
        if config.archive.check && config.archive.mode_check {
            self.check_archive_mode().await?;
        }
        Ok(entry)
    }

    async fn check_archive_mode(&self) -> Result<()> {
        match self.sql.setting_if_visible("archive_mode").await?.as_deref() {
            Some("off") => Err(Error::Check {
                what: "archive_mode must be enabled".to_owned(),
                code: ErrorCode::ArchiveDisabled,
                hint: "a backup needs the WAL written while it runs; set archive_mode=on and an \
                       archive_command, or use --no-archive-check if the WAL comes another way"
                    .to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Whether pages are to be checked: as configured, else where the cluster has checksums.
    pub(super) fn check_pages(&self, config: &Config) -> bool {
        let has_checksums = self.source.facts().page_checksums;
        if config.backup.checksum_page == Some(true) && !has_checksums {
            tracing::warn!("checksum-page is on, but the cluster has no data checksums");
        }
        has_checksums && config.backup.checksum_page != Some(false)
    }

    /// Begins the backup on the server.
    pub(super) async fn start(&mut self, options: &SourceOptions) -> Result<BackupStart> {
        let how =
            if options.start_fast { "" } else { " after the next regular checkpoint completes" };
        tracing::info!("execute non-exclusive backup start: backup begins{how}");
        let start = self.source.start(options).await?;
        let size = self.source.facts().wal_segment_size;
        let segment = WalSegment::containing(start.lsn, start.timeline, size);
        tracing::info!("backup start archive = {segment}, lsn = {}", start.lsn);
        Ok(start)
    }

    /// Logs where the backup ended, and what the server complained of.
    pub(super) fn report_stop(&self, stop: &BackupStop) {
        let size = self.source.facts().wal_segment_size;
        let segment = WalSegment::ending_at(stop.lsn, stop.timeline, size);
        tracing::info!("backup stop archive = {segment}, lsn = {}", stop.lsn);
        for complaint in &stop.checksum_complaints {
            tracing::warn!("the server says: {complaint}");
        }
    }

    /// Ends the server's side of a backup that is given up.
    pub(super) async fn cancel(&mut self) {
        self.source.cancel().await;
    }
}
