//! The cluster that is backed up: the source of its files and, beside it, a connection for SQL.

use std::{path::Path, sync::Arc};

use crate::{
    backup::{
        self,
        source::{BackupSource, BackupStart, BackupStop, SourceOptions},
    },
    command::{
        Error, Result,
        cluster::{self, Connected},
        context,
        source::{self, Opened},
        tablespaces,
    },
    config::{BackupStandby, Config},
    postgres::{
        self, ConnectOptions, DataDirectory, Database, SqlClient, TablespaceInfo, version_directory,
    },
    repo::stanza::{ClusterId, StanzaEntry, StanzaHistory},
    types::{ErrorCode, Failure, Oid, WalSegment, WalSegmentSize},
};

/// The connections to the cluster, and what SQL told of it.
pub(super) struct Cluster {
    /// Yields the files.
    pub source: Box<dyn BackupSource>,
    /// The data directory, where the source reads it.
    pub directory: Option<Arc<DataDirectory>>,
    /// Answers, on the same server, what the replication protocol does not.
    pub sql: SqlClient,
    /// The databases.
    pub databases: Vec<Database>,
    /// The tablespaces outside the data directory.
    pub tablespaces: Vec<TablespaceInfo>,
    /// The directory in a tablespace's location that belongs to the server.
    pub version_directory: String,
    /// Whether backups of this cluster may come from one server now and from another then.
    pub several_sources: bool,
    /// How the session for SQL was connected.
    options: ConnectOptions,
    /// Where the source is a standby: its primary, where that can be reached.
    primary: Option<Connected>,
}

impl Cluster {
    /// Chooses the server that the files come from, and opens the connections.
    pub(super) async fn connect(config: &Config) -> Result<Self> {
        let mut servers = cluster::servers(config).await?;
        let Connected { key, options, sql, facts } = servers.take_source(config.backup.standby)?;
        let Opened { source, directory } = source::open(config, key, &options).await?;
        if facts.in_recovery != source.facts().in_recovery {
            return Err(changed_role(key));
        }
        if facts.in_recovery {
            tracing::info!("the backup is taken from the standby pg{key}");
        }
        let primary = servers.primary.filter(|_| facts.in_recovery);
        let databases = sql.databases().await?;
        let tablespaces = sql.tablespaces().await?;
        tablespaces::warn_inside(facts.data_directory.as_deref(), &tablespaces);
        let version_directory = version_directory(facts.version, facts.catalog_version);
        let several_sources = facts.in_recovery || config.backup.standby != BackupStandby::No;
        Ok(Self {
            source,
            directory,
            sql,
            databases,
            tablespaces,
            version_directory,
            several_sources,
            options,
            primary,
        })
    }

    /// Checks that the cluster is the stanza's and that it archives its WAL; returns the stanza's entry.
    pub(super) async fn check(&self, config: &Config, repo: &context::Repo) -> Result<StanzaEntry> {
        let facts = self.source.facts();
        let cluster = ClusterId { system_id: facts.system_id, version: facts.version };
        let history = StanzaHistory::read(&*repo.storage, context::stanza(config)?).await?;
        let entry = history.expect(cluster, ErrorCode::BackupMismatch)?.clone();
        if config.archive.check && config.archive.mode_check {
            self.check_archive_mode().await?;
        }
        Ok(entry)
    }

    /// The server that archives the WAL of the backup, where there is a session with it that has not ended.
    pub(super) fn archiving_server(&self) -> Option<&SqlClient> {
        let server = match self.source.facts().in_recovery {
            true => self.primary.as_ref().map(|primary| &primary.sql),
            false => Some(&self.sql),
        };
        server.filter(|server| !server.is_closed())
    }

    async fn check_archive_mode(&self) -> Result<()> {
        let Some(server) = self.archiving_server() else { return Ok(()) };
        match server.setting_if_visible("archive_mode").await?.as_deref() {
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
        self.check_in_place(options).await?;
        self.name_outside_files().await?;
        let size = self.source.facts().wal_segment_size;
        let segment = WalSegment::containing(start.lsn, start.timeline, size);
        tracing::info!("backup start archive = {segment}, lsn = {}", start.lsn);
        Ok(start)
    }

    /// The tablespaces that are directories in `pg_tblspc`, made with `allow_in_place_tablespaces`.
    pub(super) fn in_place_tablespaces(&self) -> Vec<Oid> {
        in_place(&self.tablespaces)
    }

    /// One that was made after it was asked for them may be in no archive and in no WAL of the backup.
    async fn check_in_place(&self, options: &SourceOptions) -> Result<()> {
        match in_place(&self.sql.tablespaces().await?) == options.in_place_tablespaces {
            true => Ok(()),
            false => Err(Error::Check {
                what: "a tablespace in pg_tblspc was made or dropped while the backup began"
                    .to_owned(),
                code: ErrorCode::DbMismatch,
                hint: "run the backup again".to_owned(),
            }),
        }
    }

    /// Names the configuration files that no source finds in the data directory.
    async fn name_outside_files(&self) -> Result<()> {
        let Some(data) = self.sql.setting_if_visible("data_directory").await? else {
            return Ok(());
        };
        let mut outside = Vec::new();
        for name in ["config_file", "hba_file", "ident_file"] {
            let path = self.sql.setting_if_visible(name).await?;
            outside.extend(path.filter(|path| !Path::new(path).starts_with(&data)));
        }
        if !outside.is_empty() {
            tracing::info!(
                "not in the backup, because they are outside of the data directory: {}",
                outside.join(", ")
            );
        }
        Ok(())
    }

    /// Logs where the backup ended, and what the server complained of.
    pub(super) fn report_stop(&self, stop: &BackupStop) {
        let size = self.source.facts().wal_segment_size;
        let segment = WalSegment::ending_at(stop.lsn, stop.timeline(), size);
        tracing::info!("backup stop archive = {segment}, lsn = {}", stop.lsn);
        for complaint in &stop.checksum_complaints {
            tracing::warn!("the server says: {complaint}");
        }
    }

    /// Makes sure that the last WAL segment of the backup gets archived. A primary ends it by itself, a
    /// standby cannot: there the primary is asked. Where that fails, the segment comes when it is full, or
    /// when the primary's archive_timeout is over.
    pub(super) async fn end_last_segment(&self, stop: &BackupStop) {
        if !self.source.facts().in_recovery {
            return;
        }
        let size = self.source.facts().wal_segment_size;
        let last = WalSegment::ending_at(stop.lsn, stop.timeline(), size);
        let Some(primary) = &self.primary else {
            tracing::info!(
                "segment {last} is archived when the primary has filled it or its archive_timeout is \
                 over; with the primary among the pgN options it is asked to end it"
            );
            return;
        };
        match end_segment(&primary.options, last, size).await {
            Ok(()) => {}
            Err(error @ postgres::Error::PermissionDenied { .. }) => tracing::warn!(
                "the primary cannot be asked to end segment {last}: {error}\n\
                 HINT: {}",
                error.hint().unwrap_or_default()
            ),
            Err(error) => {
                tracing::warn!("the primary cannot be asked to end segment {last}: {error}");
            }
        }
    }

    /// Connects the sessions again that ended while files were copied: they were not used in those hours, and
    /// what was copied is not worth less for it.
    pub(super) async fn renew_sessions(&mut self) -> Result<()> {
        if self.sql.is_closed() {
            tracing::info!("the session for SQL ended in the meantime, and is opened again");
            self.sql = SqlClient::connect(&self.options).await?;
        }
        if let Some(primary) = self.primary.as_mut().filter(|primary| primary.sql.is_closed()) {
            match SqlClient::connect(&primary.options).await {
                Ok(sql) => primary.sql = sql,
                Err(error) => tracing::warn!("the session with the primary is gone: {error}"),
            }
        }
        Ok(())
    }

    /// Looks for the primary again where the standby switched to another timeline while the backup ran: the one that is
    /// connected is not its primary any more.
    pub(super) async fn follow_promotion(
        &mut self,
        config: &Config,
        start: &BackupStart,
        stop: &BackupStop,
    ) {
        let (from, to) = (start.timeline, stop.timeline());
        if !self.source.facts().in_recovery || from == to {
            return;
        }
        tracing::info!(
            "the standby went over from timeline {from} to {to} in the meantime: its WAL is that of both"
        );
        self.primary = cluster::primary_on(config, to, self.source.facts().system_id).await;
    }

    /// Asks whether the standby was promoted, where the error may come from that.
    pub(super) async fn explain(&mut self, error: backup::Error) -> backup::Error {
        let error = match error {
            backup::Error::Postgres(error)
                if self.source.facts().in_recovery && error.may_be_of_promotion() =>
            {
                error
            }
            error => return error,
        };
        let is_promoted = async {
            if self.sql.is_closed() {
                self.sql = SqlClient::connect(&self.options).await?;
            }
            Ok::<_, postgres::Error>(!self.sql.is_in_recovery().await?)
        };
        match is_promoted.await {
            Ok(true) => error.of_promotion().into(),
            Ok(false) => error.into(),
            Err(unknown) => {
                tracing::debug!("unable to ask whether the standby was promoted: {unknown}");
                error.into()
            }
        }
    }

    /// Ends the server's side of a backup that is given up.
    pub(super) async fn cancel(&mut self) {
        self.source.cancel().await;
    }
}

fn in_place(tablespaces: &[TablespaceInfo]) -> Vec<Oid> {
    let inside = |tablespace: &&TablespaceInfo| !tablespace.location.starts_with('/');
    tablespaces.iter().filter(inside).map(|tablespace| tablespace.oid).collect()
}

/// Ends `segment` on the primary, unless it has got past it already. The session is a new one: that of
/// the start may have been cut in the hours since.
async fn end_segment(
    primary: &ConnectOptions,
    segment: WalSegment,
    size: WalSegmentSize,
) -> postgres::Result<()> {
    let sql = SqlClient::connect(primary).await?;
    let written = sql.current_wal_lsn().await?;
    if WalSegment::ending_at(written, segment.timeline, size) <= segment {
        sql.switch_wal().await?;
    }
    sql.close().await;
    Ok(())
}

fn changed_role(key: u16) -> Error {
    Error::Check {
        what: format!("pg{key} was promoted or made a standby just now"),
        code: ErrorCode::DbMismatch,
        hint: "run the backup again".to_owned(),
    }
}
