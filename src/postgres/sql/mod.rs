//! SQL sessions, for what the replication protocol cannot answer. They use the same transport and options as the
//! replication client.

mod backend_key;
mod backup_session;
mod changed_blocks;
mod file_times;
mod placement;
mod rights;
mod session;
mod summaries;

use std::{io, time::Duration};

use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::{
    Client, Row, SimpleQueryMessage,
    types::{FromSql, ToSql},
};
use tracing::debug;

use super::{
    ConnectOptions, Error, Result, ServerError, connect::Encryption,
    format::control_file::version_of, protocol::Attempts,
};
use crate::types::{DataPath, Lsn, Oid, PgVersion, SystemId, TimeLine, WalSegment, WalSegmentSize};

pub use backup_session::{
    BackupSession, ControlCheckpoint, SqlBackupStart, SqlBackupStop, SqlCancelToken,
};
pub use rights::Grantee;
pub(super) use rights::quoted;
pub use summaries::SummaryFacts;

/// Timeouts that could end a long idle, waiting or copying session. A version without one of them has no row for it in
/// pg_settings.
const LIMITS: &str = "'statement_timeout', 'lock_timeout', 'idle_session_timeout', \
    'idle_in_transaction_session_timeout', 'transaction_timeout', 'tcp_user_timeout'";

/// A SQL session, without the timeouts that end long sessions.
pub struct SqlClient {
    client: Client,
    driver: JoinHandle<()>,
    query_timeout: Duration,
    grantee: Grantee,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFacts {
    pub system_id: SystemId,
    pub version: PgVersion,
    /// `server_version_num`, such as 170002.
    pub version_num: u32,
    /// `pg_control_version`.
    pub control_version: u32,
    pub catalog_version: u32,
    pub in_recovery: bool,
    /// `data_directory`; `None` if the role is not a member of pg_read_all_settings.
    pub data_directory: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// The name of its directories.
    pub oid: Oid,
    pub name: String,
}

/// A tablespace outside the data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablespaceInfo {
    pub oid: Oid,
    pub name: String,
    pub location: String,
}

/// A row of `pg_stat_archiver`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiverFacts {
    pub archived_count: u64,
    pub last_archived_wal: Option<String>,
    /// In the server's text format.
    pub last_archived_time: Option<String>,
    pub failed_count: u64,
    pub last_failed_wal: Option<String>,
    /// In the server's text format.
    pub last_failed_time: Option<String>,
    /// Whether the latest attempt failed.
    pub failing: bool,
}

impl SqlClient {
    pub async fn connect(options: &ConnectOptions) -> Result<Self> {
        Ok(Self::open(options).await?.0)
    }

    /// Also returns the encryption of the connection, because a cancel request has to use the same.
    async fn open(options: &ConnectOptions) -> Result<(Self, Encryption)> {
        let mut attempts = Attempts::new(options);
        let (opened, encryption) = loop {
            let encryption = attempts.current();
            match session::open_session(options, encryption).await {
                Ok(opened) => break (opened, encryption),
                Err(error) => attempts.failed(error)?,
            }
        };
        let (client, driver, announced) = opened;
        let grantee = Grantee { role: options.user.clone(), database: options.database.clone() };
        let sql = Self { client, driver, query_timeout: options.query_timeout, grantee };
        let server_process = sql.lift_limits(announced.get().copied()).await?;
        match announced.get() {
            Some(&announced) if announced != server_process => {
                let endpoint = options.endpoint.to_string();
                Err(Error::Pooler { endpoint, announced, server_process })
            }
            _ => Ok((sql, encryption)),
        }
    }

    /// Disables the server's timeouts for this session and returns its process id. If the process id differs from
    /// BackendKeyData, nothing is changed: the session belongs to a connection pooler, and other clients use it
    /// afterwards.
    async fn lift_limits(&self, announced: Option<i32>) -> Result<i32> {
        let own = match announced {
            Some(process) => format!("pg_catalog.pg_backend_pid() = {process}"),
            None => "true".to_owned(),
        };
        // The simple protocol, because poolers lose prepared statements.
        let sql = format!(
            "select pg_catalog.pg_backend_pid(), case when {own} then (select \
             pg_catalog.count(pg_catalog.set_config(name, '0', false)) \
             from pg_catalog.pg_settings where name in ({LIMITS})) end"
        );
        let seconds = self.query_timeout.as_secs();
        let too_late = Error::Timeout { doing: "lifting the session's limits", seconds };
        let answer = timeout(self.query_timeout, self.client.simple_query(&sql)).await;
        let messages = answer.map_err(|_| too_late)?.map_err(|e| self.query_error(&sql, &e))?;
        let row = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
            _ => None,
        });
        row.ok_or_else(|| {
            Error::protocol("the server did not report the backend process of the session")
        })
    }

    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    pub async fn close(self) {
        let Self { client, driver, .. } = self;
        drop(client);
        if timeout(Duration::from_secs(1), driver).await.is_err() {
            debug!("the SQL connection did not end in time");
        }
    }

    async fn rows(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        match timeout(self.query_timeout, self.client.query(sql, parameters)).await {
            Ok(result) => result.map_err(|error| self.query_error(sql, &error)),
            Err(_) => {
                let seconds = self.query_timeout.as_secs();
                Err(Error::Timeout { doing: "waiting for a query", seconds })
            }
        }
    }

    pub fn grantee(&self) -> &Grantee {
        &self.grantee
    }

    fn query_error(&self, sql: &str, error: &tokio_postgres::Error) -> Error {
        let doing = format!("unable to run '{sql}'");
        match server_error(error) {
            Some(source) if source.code == ServerError::INSUFFICIENT_PRIVILEGE => {
                self.denied(doing, sql, source)
            }
            Some(source) => Error::Server { doing, source },
            None => {
                let source = io::Error::other(chain(error));
                Error::Broken { doing: "running a query", source }
            }
        }
    }

    fn denied(&self, doing: String, sql: &str, mut source: Box<ServerError>) -> Error {
        if let Some(grant) = self.grantee.grant_for(sql) {
            source.hint = Some(grant);
        }
        Error::PermissionDenied { doing, source }
    }

    async fn row(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Row> {
        let rows = self.rows(sql, parameters).await?;
        rows.into_iter().next().ok_or_else(|| Error::protocol(format!("no row from: {sql}")))
    }

    async fn value<T: for<'a> FromSql<'a>>(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<T> {
        column(&self.row(sql, parameters).await?, 0)
    }

    pub async fn server_facts(&self) -> Result<ServerFacts> {
        let row = self
            .row(
                "select s.system_identifier, s.pg_control_version, s.catalog_version_no, \
                 current_setting('server_version_num')::int4, pg_catalog.pg_is_in_recovery() \
                 from pg_catalog.pg_control_system() s",
                &[],
            )
            .await?;
        let version_num = column::<i32>(&row, 3)? as u32;
        let version = PgVersion::new((version_num / 10_000) as u16);
        let version = version.map_err(|_| Error::Version((version_num / 10_000).to_string()))?;
        let (control_version, catalog_version) =
            (column::<i32>(&row, 1)? as u32, column::<i32>(&row, 2)? as u32);
        // A beta has another catalog version than the release, and restore rejects its control file.
        version_of(control_version, catalog_version)?;
        Ok(ServerFacts {
            system_id: SystemId(column::<i64>(&row, 0)? as u64),
            version,
            version_num,
            control_version,
            catalog_version,
            in_recovery: column(&row, 4)?,
            data_directory: self.setting_if_visible("data_directory").await?,
        })
    }

    /// A setting; `None` if this version does not have it.
    pub async fn setting(&self, name: &str) -> Result<Option<String>> {
        self.value("select pg_catalog.current_setting($1, true)", &[&name]).await
    }

    /// A setting; `None` also if the role may not see it.
    pub async fn setting_if_visible(&self, name: &str) -> Result<Option<String>> {
        match self.setting(name).await {
            Err(Error::PermissionDenied { .. }) => Ok(None),
            other => other,
        }
    }

    pub async fn wal_segment_size(&self) -> Result<WalSegmentSize> {
        let sql =
            "select setting::int8 from pg_catalog.pg_settings where name = 'wal_segment_size'";
        let bytes: i64 = self.value(sql, &[]).await?;
        let size = u32::try_from(bytes).unwrap_or_default();
        WalSegmentSize::new(size).map_err(|error| Error::format("setting", error.to_string()))
    }

    pub async fn is_in_recovery(&self) -> Result<bool> {
        self.value("select pg_catalog.pg_is_in_recovery()", &[]).await
    }

    /// Databases that allow connections, including templates, sorted by OID.
    pub async fn databases(&self) -> Result<Vec<Database>> {
        let sql = "select oid, datname::text from pg_catalog.pg_database order by oid";
        let rows = self.rows(sql, &[]).await?;
        let database =
            |row: &Row| Ok(Database { oid: Oid(column(row, 0)?), name: column(row, 1)? });
        rows.iter().map(database).collect()
    }

    /// Tablespaces outside the data directory, sorted by OID.
    pub async fn tablespaces(&self) -> Result<Vec<TablespaceInfo>> {
        let sql = "select oid, spcname::text, pg_catalog.pg_tablespace_location(oid) \
            from pg_catalog.pg_tablespace where spcname not in ('pg_default', 'pg_global') \
            order by oid";
        let rows = self.rows(sql, &[]).await?;
        let tablespace = |row: &Row| {
            Ok(TablespaceInfo {
                oid: Oid(column(row, 0)?),
                name: column(row, 1)?,
                location: column(row, 2)?,
            })
        };
        rows.iter().map(tablespace).collect()
    }

    /// Creates a named restore point and returns its position.
    pub async fn create_restore_point(&self, name: &str) -> Result<Lsn> {
        self.lsn("select pg_catalog.pg_create_restore_point($1)::text", &[&name]).await
    }

    /// Switches to a new WAL segment and returns the end of the WAL in the old one.
    pub async fn switch_wal(&self) -> Result<Lsn> {
        self.lsn("select pg_catalog.pg_switch_wal()::text", &[]).await
    }

    /// The current WAL write position.
    pub async fn current_wal_lsn(&self) -> Result<Lsn> {
        self.lsn("select pg_catalog.pg_current_wal_lsn()::text", &[]).await
    }

    /// The name of the segment that holds the last byte before `lsn`, on the current timeline.
    pub async fn wal_file_name(&self, lsn: Lsn) -> Result<String> {
        let sql = "select pg_catalog.pg_walfile_name($1::text::pg_lsn)";
        self.value(sql, &[&lsn.to_string()]).await
    }

    /// The timeline that a primary writes.
    pub async fn current_timeline(&self) -> Result<TimeLine> {
        let written = self.current_wal_lsn().await?;
        let segment: WalSegment = self.wal_file_name(written).await?.parse()?;
        Ok(segment.timeline)
    }

    async fn lsn(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Lsn> {
        Ok(self.value::<String>(sql, parameters).await?.parse()?)
    }

    pub async fn archiver(&self) -> Result<ArchiverFacts> {
        let row = self
            .row(
                "select archived_count, last_archived_wal, last_archived_time::text, \
                 failed_count, last_failed_wal, last_failed_time::text, \
                 coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) \
                 from pg_catalog.pg_stat_archiver",
                &[],
            )
            .await?;
        Ok(ArchiverFacts {
            archived_count: column::<i64>(&row, 0)? as u64,
            last_archived_wal: column(&row, 1)?,
            last_archived_time: column(&row, 2)?,
            failed_count: column::<i64>(&row, 3)? as u64,
            last_failed_wal: column(&row, 4)?,
            last_failed_time: column(&row, 5)?,
            failing: column(&row, 6)?,
        })
    }

    /// Reads part of a file of the data directory again, to distinguish a torn page from a damaged one. `None` if the
    /// file was removed meanwhile; fewer bytes if it ends before. [`Error::PermissionDenied`] if the role may not
    /// execute `pg_read_binary_file`.
    pub async fn reread_page(
        &self,
        path: &DataPath,
        offset: u64,
        length: u32,
    ) -> Result<Option<Vec<u8>>> {
        let name = std::str::from_utf8(path.as_bytes())
            .map_err(|_| Error::Options(format!("the path {path} is not UTF-8")))?;
        let sql = "select pg_catalog.pg_read_binary_file($1, $2, $3, true)";
        self.value(sql, &[&name, &(offset as i64), &i64::from(length)]).await
    }
}

fn column<'a, T: FromSql<'a>>(row: &'a Row, at: usize) -> Result<T> {
    row.try_get(at)
        .map_err(|error| Error::protocol(format!("unexpected value in a result: {error}")))
}

fn server_error(error: &tokio_postgres::Error) -> Option<Box<ServerError>> {
    let said = error.as_db_error()?;
    Some(Box::new(ServerError {
        severity: said.severity().to_owned(),
        code: said.code().code().to_owned(),
        message: said.message().to_owned(),
        detail: said.detail().map(str::to_owned),
        hint: said.hint().map(str::to_owned),
        routine: said.routine().map(str::to_owned),
    }))
}

/// The error with its causes, which `Display` of tokio-postgres omits.
fn chain(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
