//! Starts and stops a backup over SQL (`pg_backup_start`, `pg_backup_stop`), for the local source, which reads the
//! files itself.

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

/// A session with a non-exclusive backup. The server aborts the backup if the session ends before
/// [`BackupSession::stop`].
pub struct BackupSession {
    sql: SqlClient,
    cancel: SqlCancelToken,
    /// Timeout of the server's checkpoint.
    start_timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqlBackupStart {
    /// The redo position of the checkpoint.
    pub lsn: Lsn,
    /// The timeline of that checkpoint.
    pub timeline: TimeLine,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlBackupStop {
    /// The position at which recovery becomes consistent.
    pub lsn: Lsn,
    /// Contents of `backup_label`, which the server returns instead of writing the file.
    pub backup_label: Vec<u8>,
    /// Contents of `tablespace_map`; empty if the copy needs none.
    pub tablespace_map: Vec<u8>,
}

/// The last checkpoint in the control file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlCheckpoint {
    /// Position of the checkpoint record.
    pub checkpoint_lsn: Lsn,
    /// Redo position.
    pub redo_lsn: Lsn,
    pub timeline: TimeLine,
}

/// Cancels the running statement of a SQL session over a second connection.
#[derive(Clone)]
pub struct SqlCancelToken {
    options: Arc<ConnectOptions>,
    encryption: Encryption,
    token: tokio_postgres::CancelToken,
}

impl SqlCancelToken {
    /// Sends the cancel request. Returns when it is sent: the statement may still run.
    pub async fn cancel(&self) -> Result<()> {
        let request = session::cancel(&self.options, self.encryption, &self.token);
        let seconds = CANCEL_TIMEOUT.as_secs();
        let too_late = Error::Timeout { doing: "cancelling", seconds };
        timeout(CANCEL_TIMEOUT, request).await.unwrap_or(Err(too_late))
    }
}

impl BackupSession {
    pub async fn connect(options: &ConnectOptions) -> Result<Self> {
        let (sql, encryption) = SqlClient::open(options).await?;
        let cancel = SqlCancelToken {
            options: Arc::new(options.clone()),
            encryption,
            token: sql.client.cancel_token(),
        };
        Ok(Self { sql, cancel, start_timeout: options.idle_timeout })
    }

    /// The session, for queries while the backup runs.
    pub fn sql(&self) -> &SqlClient {
        &self.sql
    }

    /// Whether the connection is not known to be closed. A connection that broke silently is detected at the next
    /// statement.
    pub fn is_connected(&self) -> bool {
        !self.sql.is_closed()
    }

    /// Cancels this session from outside. Needed while the session waits for the checkpoint, because the server does
    /// not notice a closed connection then.
    pub fn cancel_token(&self) -> SqlCancelToken {
        self.cancel.clone()
    }

    /// Starts the backup and waits for the server's checkpoint, with the timeout of
    /// [`super::super::BaseBackup::start`]. [`Error::PermissionDenied`] if the role lacks the privilege.
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

    /// Stops the backup without waiting for WAL archiving: the caller checks the archive itself. If the error is
    /// [`Error::may_be_of_promotion`], the server may have been a standby at the start and promoted meanwhile.
    pub async fn stop(&mut self, version: PgVersion) -> Result<SqlBackupStop> {
        let call = match version.major() {
            ..=14 => "pg_catalog.pg_stop_backup(false, false)",
            _ => "pg_catalog.pg_backup_stop(false)",
        };
        // The contents need not be valid in any encoding: bytea in escape format returns every byte unchanged.
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

    /// Closes the session, which aborts a backup that was not stopped.
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

/// Why a statement returned no answer.
enum Failure {
    TooLate(Error),
    Said(tokio_postgres::Error),
}

impl SqlClient {
    /// Signatures of the functions that start and stop a backup.
    pub fn backup_functions(version: PgVersion) -> [&'static str; 2] {
        match version.major() {
            ..=14 => {
                ["pg_start_backup(text, boolean, boolean)", "pg_stop_backup(boolean, boolean)"]
            }
            _ => ["pg_backup_start(text, boolean)", "pg_backup_stop(boolean)"],
        }
    }

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
