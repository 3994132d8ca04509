//! A backup that is started and stopped over SQL, for the local source, which reads the files: the server's
//! side of a BASE_BACKUP without the copying.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;
use tokio_postgres::{Row, types::ToSql};
use tracing::warn;

use super::{SqlClient, chain, column, server_error, session};
use crate::{
    postgres::{
        ConnectOptions, Error, Result, ServerError, connect::Encryption, error::WAITING_FOR_START,
    },
    types::{Lsn, PgVersion, TimeLine},
};

const STARTING: &str = "unable to start the backup";
const STOPPING: &str = "unable to stop the backup";
/// Timeout of a cancel request. It is short, because the command is ending.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

/// A session in which a non-exclusive backup runs: the server ends the backup, as of no use, when the
/// session ends before [`BackupSession::stop`].
pub struct BackupSession {
    sql: SqlClient,
    cancel: SqlCancelToken,
    /// Limit for the server's checkpoint.
    start_timeout: Duration,
}

/// Where a backup began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqlBackupStart {
    /// The redo position.
    pub lsn: Lsn,
    /// The timeline of the checkpoint that it belongs to.
    pub timeline: TimeLine,
}

/// How a backup ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlBackupStop {
    /// Where recovery becomes consistent.
    pub lsn: Lsn,
    /// The contents of `backup_label`, as the server has them in memory.
    pub backup_label: Vec<u8>,
    /// The contents of `tablespace_map`; empty where there is to be none.
    pub tablespace_map: Vec<u8>,
}

/// The last checkpoint, as the control file has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlCheckpoint {
    /// Where its record is.
    pub checkpoint_lsn: Lsn,
    /// Where recovery from it begins.
    pub redo_lsn: Lsn,
    /// Its timeline.
    pub timeline: TimeLine,
}

/// What is needed to interrupt a SQL session from outside it.
#[derive(Clone)]
pub struct SqlCancelToken {
    options: Arc<ConnectOptions>,
    encryption: Encryption,
    token: tokio_postgres::CancelToken,
}

impl SqlCancelToken {
    /// Asks the server to interrupt what the session does; returns when the request is sent, which is
    /// before it has worked.
    pub async fn cancel(&self) -> Result<()> {
        let request = session::cancel(&self.options, self.encryption, &self.token);
        let seconds = CANCEL_TIMEOUT.as_secs();
        let too_late = Error::Timeout { doing: "cancelling", seconds };
        timeout(CANCEL_TIMEOUT, request).await.unwrap_or(Err(too_late))
    }
}

impl BackupSession {
    /// Connects to the database of the options.
    pub async fn connect(options: &ConnectOptions) -> Result<Self> {
        let (sql, encryption) = SqlClient::open(options).await?;
        let cancel = SqlCancelToken {
            options: Arc::new(options.clone()),
            encryption,
            token: sql.client.cancel_token(),
        };
        Ok(Self { sql, cancel, start_timeout: options.idle_timeout })
    }

    /// The session itself, for questions while the backup runs.
    pub fn sql(&self) -> &SqlClient {
        &self.sql
    }

    /// Whether the connection is there as far as is known: one that broke is noticed when it tells so.
    pub fn is_connected(&self) -> bool {
        !self.sql.is_closed()
    }

    /// What interrupts this session from outside, also while it waits for the server's checkpoint: a
    /// server that waits does not notice a closed connection.
    pub fn cancel_token(&self) -> SqlCancelToken {
        self.cancel.clone()
    }

    /// Starts the backup and waits for the server's checkpoint, as long as
    /// [`super::super::BaseBackup::start`] does. [`Error::PermissionDenied`] for a role that may not.
    pub async fn start(
        &mut self,
        version: PgVersion,
        label: &str,
        fast: bool,
    ) -> Result<SqlBackupStart> {
        let sql = match version.major() {
            ..=14 => "select pg_catalog.pg_start_backup($1, $2, false)::text",
            _ => "select pg_catalog.pg_backup_start($1, $2)::text",
        };
        let limit = self.start_timeout;
        let answer = self.answer(sql, &[&label, &fast], WAITING_FOR_START, limit).await;
        if let Err(Failure::TooLate(_)) = answer {
            self.interrupt().await;
        }
        let row = answer.map_err(|failure| self.explain(failure, STARTING, version))?;
        let timeline = self.sql.control_checkpoint().await?.timeline;
        Ok(SqlBackupStart { lsn: lsn(&row, 0)?, timeline })
    }

    /// Stops the backup. WAL is not waited for: the caller sees for itself that it is archived.
    /// [`Error::may_be_of_promotion`] of a server that was a standby when the backup began and is none any more.
    pub async fn stop(&mut self, version: PgVersion) -> Result<SqlBackupStop> {
        let call = match version.major() {
            ..=14 => "pg_catalog.pg_stop_backup(false, false)",
            _ => "pg_catalog.pg_backup_stop(false)",
        };
        // The files need not be valid in any encoding: through the escape form of bytea every byte of
        // them comes as it is.
        let bytes = |column: &str| {
            format!(r"coalesce(pg_catalog.replace({column}, E'\\', E'\\\\')::bytea, '')")
        };
        let (label, map) = (bytes("labelfile"), bytes("spcmapfile"));
        let sql = format!("select lsn::text, {label}, {map} from {call}");
        let doing = "waiting for the backup to stop";
        let answer = self.answer(&sql, &[], doing, self.sql.query_timeout).await;
        let row = answer.map_err(|failure| self.explain(failure, STOPPING, version))?;
        Ok(SqlBackupStop {
            lsn: lsn(&row, 0)?,
            backup_label: column(&row, 1)?,
            tablespace_map: column(&row, 2)?,
        })
    }

    /// Ends the session in order, and with it a backup that was not stopped.
    pub async fn close(self) {
        self.sql.close().await;
    }

    async fn interrupt(&self) {
        if let Err(error) = self.cancel.cancel().await {
            warn!("unable to cancel the start of the backup: {error}");
        }
    }

    async fn answer(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
        doing: &'static str,
        limit: Duration,
    ) -> std::result::Result<Row, Failure> {
        match timeout(limit, self.sql.client.query_one(sql, parameters)).await {
            Ok(answer) => answer.map_err(Failure::Said),
            Err(_) => Err(Failure::TooLate(Error::Timeout { doing, seconds: limit.as_secs() })),
        }
    }

    fn explain(&self, failure: Failure, doing: &str, version: PgVersion) -> Error {
        let error = match failure {
            Failure::TooLate(error) => return error,
            Failure::Said(error) => error,
        };
        match server_error(&error) {
            Some(mut source) if source.code == ServerError::INSUFFICIENT_PRIVILEGE => {
                let functions = SqlClient::backup_functions(version);
                source.hint = Some(self.sql.grantee.grant_execute(&functions));
                Error::PermissionDenied { doing: doing.to_owned(), source }
            }
            Some(source) => Error::Server { doing: doing.to_owned(), source },
            None => {
                let source = std::io::Error::other(chain(&error));
                Error::Broken { doing: "a backup was started or stopped", source }
            }
        }
    }
}

/// Why there is no answer.
enum Failure {
    TooLate(Error),
    Said(tokio_postgres::Error),
}

impl SqlClient {
    /// The functions that start and stop a backup, with their arguments.
    pub fn backup_functions(version: PgVersion) -> [&'static str; 2] {
        match version.major() {
            ..=14 => {
                ["pg_start_backup(text, boolean, boolean)", "pg_stop_backup(boolean, boolean)"]
            }
            _ => ["pg_backup_start(text, boolean)", "pg_backup_stop(boolean)"],
        }
    }

    /// Whether the role may start and stop a backup.
    pub async fn may_back_up(&self, version: PgVersion) -> Result<bool> {
        let sql = "select pg_catalog.bool_and(pg_catalog.has_function_privilege( \
            'pg_catalog.' || name, 'execute')) from pg_catalog.unnest($1::text[]) name";
        self.value(sql, &[&Self::backup_functions(version).as_slice()]).await
    }

    /// The last checkpoint; on a standby the last restartpoint.
    pub async fn control_checkpoint(&self) -> Result<ControlCheckpoint> {
        let sql = "select checkpoint_lsn::text, redo_lsn::text, timeline_id \
            from pg_catalog.pg_control_checkpoint()";
        let row = self.row(sql, &[]).await?;
        Ok(ControlCheckpoint {
            checkpoint_lsn: lsn(&row, 0)?,
            redo_lsn: lsn(&row, 1)?,
            timeline: TimeLine(column::<i32>(&row, 2)? as u32),
        })
    }

    /// When the server started, microseconds since 1970 by its clock.
    pub async fn postmaster_start_us(&self) -> Result<i64> {
        let sql = "select (extract(epoch from pg_catalog.pg_postmaster_start_time()) \
            * 1000000)::int8";
        self.value(sql, &[]).await
    }
}

fn lsn(row: &Row, at: usize) -> Result<Lsn> {
    Ok(column::<String>(row, at)?.parse()?)
}
