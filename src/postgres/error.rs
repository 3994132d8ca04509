//! Errors of the connection to a server, of the server, and of files that a server wrote.

use std::{fmt, io};

use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::ErrorFields;

use crate::types::{DataPath, ErrorCode, Failure, Invalid};

pub type Result<T> = std::result::Result<T, Error>;

/// The operation between BASE_BACKUP and the first archive, during which the server waits for a checkpoint.
pub(crate) const WAITING_FOR_START: &str = "waiting for the backup to start";

/// A failure of the connection, of the server, or of bytes that a server wrote.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("invalid connection options: {0}")]
    Options(String),
    #[error("unable to connect to {endpoint}: {source}")]
    Connect {
        /// Socket, or host and port.
        endpoint: String,
        source: io::Error,
    },
    /// The TLS handshake or a certificate check failed, or a TLS file cannot be used.
    #[error("unable to use TLS with {endpoint}: {reason}")]
    Tls {
        /// Socket, or host and port.
        endpoint: String,
        reason: String,
    },
    /// Authentication failed, or its exchange could not be completed.
    #[error("unable to authenticate as {user} at {endpoint}: {reason}")]
    Authentication {
        /// Socket, or host and port.
        endpoint: String,
        user: String,
        reason: String,
    },
    #[error(
        "{endpoint} is a connection pooler, not the server: it reports backend process {announced}, but \
         the server reports {server_process}"
    )]
    Pooler {
        /// Socket, or host and port.
        endpoint: String,
        /// From BackendKeyData.
        announced: i32,
        /// From `pg_backend_pid()`.
        server_process: i32,
    },
    /// The server reported an error before the session began.
    #[error("unable to open a session at {endpoint}: {source}")]
    Refused {
        /// Socket, or host and port.
        endpoint: String,
        source: Box<ServerError>,
    },
    /// The server reported an error.
    #[error("{doing}: {source}")]
    Server { doing: String, source: Box<ServerError> },
    #[error("connection to the server lost while {doing}: {source}")]
    Broken { doing: &'static str, source: io::Error },
    #[error("no data from the server for {seconds} s while {doing}")]
    Timeout { doing: &'static str, seconds: u64 },
    #[error("protocol error: {0}")]
    Protocol(String),
    /// The tar archive in the backup stream is damaged.
    #[error("the backup stream is damaged: {0}")]
    Tar(String),
    /// The role lacks a privilege.
    #[error("{doing}: {source}")]
    PermissionDenied { doing: String, source: Box<ServerError> },
    /// A file written by PostgreSQL has an unexpected format.
    #[error("{file} is not valid: {reason}")]
    Format {
        /// The file or kind of file.
        file: &'static str,
        reason: String,
    },
    #[error("{file} is damaged: {reason}")]
    Checksum {
        /// The file or kind of file.
        file: &'static str,
        /// Which checksum, with the expected and the found value.
        reason: String,
    },
    /// The standby was promoted, which makes the backup unusable.
    #[error("the standby was promoted during the backup: {source}")]
    Promoted { source: Box<ServerError> },
    #[error("the server cannot take an incremental backup: {source}")]
    NotIncremental { source: Box<ServerError> },
    #[error("unable to use the server's WAL summaries: {reason}")]
    Summaries { reason: String },
    /// A file of the server's incremental backup does not match the prior backup.
    #[error("unable to use '{path}' of the server's incremental backup: {reason}")]
    IncrementalFile {
        /// Without the prefix `INCREMENTAL.`.
        path: DataPath,
        reason: String,
    },
    #[error("the server sent an invalid value: {0}")]
    Invalid(#[from] Invalid),
    #[error("PostgreSQL version {0} is not supported")]
    Version(String),
}

impl Error {
    pub(crate) fn format(file: &'static str, reason: impl Into<String>) -> Self {
        Self::Format { file, reason: reason.into() }
    }

    pub(crate) fn server(doing: impl Into<String>, said: ServerError) -> Self {
        Self::Server { doing: doing.into(), source: Box::new(said) }
    }

    pub(crate) fn protocol(reason: impl Into<String>) -> Self {
        Self::Protocol(reason.into())
    }

    /// The ErrorResponse, if the server reported the failure.
    pub fn server_error(&self) -> Option<&ServerError> {
        match self {
            Self::Refused { source, .. }
            | Self::Server { source, .. }
            | Self::NotIncremental { source }
            | Self::Promoted { source }
            | Self::PermissionDenied { source, .. } => Some(&**source),
            _ => None,
        }
    }

    /// Whether a standby that was promoted during a backup reports this error. It has other causes too: the caller has to
    /// check that the server was promoted.
    pub fn may_be_of_promotion(&self) -> bool {
        matches!(self, Self::Server { source, .. } if source.code == ServerError::NOT_IN_STATE)
    }

    /// Converts the error, once the promotion is confirmed.
    #[must_use]
    pub fn of_promotion(self) -> Self {
        match self {
            Self::Server { source, .. } => Self::Promoted { source },
            other => other,
        }
    }

    /// Whether only the change detection by WAL summaries failed: the same backup can be taken without them, on a new
    /// session.
    pub fn is_about_incremental(&self) -> bool {
        matches!(
            self,
            Self::NotIncremental { .. } | Self::Summaries { .. } | Self::IncrementalFile { .. }
        )
    }
}

impl Failure for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Options(_) => ErrorCode::OptionInvalidValue,
            Self::Connect { .. }
            | Self::Tls { .. }
            | Self::Authentication { .. }
            | Self::Pooler { .. }
            | Self::Refused { .. }
            | Self::Broken { .. } => ErrorCode::DbConnect,
            Self::Server { .. }
            | Self::Timeout { .. }
            | Self::PermissionDenied { .. }
            | Self::NotIncremental { .. }
            | Self::Summaries { .. }
            | Self::Promoted { .. } => ErrorCode::DbQuery,
            Self::Protocol(_) | Self::Tar(_) | Self::Invalid(_) => ErrorCode::Protocol,
            Self::Format { .. } | Self::IncrementalFile { .. } => ErrorCode::Format,
            Self::Checksum { .. } => ErrorCode::Checksum,
            Self::Version(_) => ErrorCode::VersionNotSupported,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Connect { .. } => Some(
                "is the server running, and are pgN-host, pgN-port and pgN-socket-path correct?".to_owned(),
            ),
            Self::Refused { source, .. }
            | Self::Server { source, .. }
            | Self::PermissionDenied { source, .. }
            | Self::NotIncremental { source } => source.hint.clone(),
            Self::Pooler { .. } => Some(
                "set pgN-host and pgN-port, or pgN-socket-path, to connect to the server directly: a backup needs a \
                 session of its own, which poolers such as PgBouncer do not provide."
                    .to_owned(),
            ),
            Self::Promoted { .. } => {
                Some("this backup was discarded: take another one.".to_owned())
            }
            Self::Timeout { doing, .. } if *doing == WAITING_FOR_START => Some(
                "the server waits for its next checkpoint: use start-fast, or set db-timeout higher than the \
                 server's checkpoint_timeout."
                    .to_owned(),
            ),
            Self::Version(_) => Some("PostgreSQL 13 to 18 are supported.".to_owned()),
            _ => None,
        }
    }
}

/// An ErrorResponse or NoticeResponse of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerError {
    /// ERROR, FATAL, WARNING, ...; not translated.
    pub severity: String,
    /// The five characters of SQLSTATE.
    pub code: String,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// The C function that raised the message.
    pub routine: Option<String>,
}

impl ServerError {
    /// SQLSTATE `data_corrupted`: the backup is complete, but has checksum failures.
    pub const DATA_CORRUPTED: &'static str = "XX001";
    /// SQLSTATE `object_not_in_prerequisite_state`.
    pub const NOT_IN_STATE: &'static str = "55000";
    /// SQLSTATE `insufficient_privilege`.
    pub const INSUFFICIENT_PRIVILEGE: &'static str = "42501";
    /// SQLSTATE `invalid_authorization_specification`, also for a missing pg_hba.conf entry.
    pub const INVALID_AUTHORIZATION: &'static str = "28000";

    /// Whether an error during the preparation of an incremental backup rules out only that type of backup: missing,
    /// damaged or late summaries, or a prior backup of another timeline or cluster. Decided by SQLSTATE, because
    /// messages may be translated: object not in prerequisite state, internal error (the manifest parser), data
    /// corrupted, undefined file.
    pub(crate) fn refuses_incremental(&self) -> bool {
        matches!(&*self.code, Self::NOT_IN_STATE | "XX000" | Self::DATA_CORRUPTED | "58P01")
    }

    /// The error of a server during the preparation of an incremental backup.
    pub(crate) fn while_incremental(self, doing: &str) -> Error {
        if self.refuses_incremental() {
            Error::NotIncremental { source: Box::new(self) }
        } else {
            Error::server(doing, self)
        }
    }

    pub(crate) fn read(fields: &mut ErrorFields<'_>) -> Result<Self> {
        let mut error = Self::default();
        let broken = |e: io::Error| Error::protocol(format!("an error message is malformed: {e}"));
        while let Some(field) = fields.next().map_err(broken)? {
            let value = String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'V' => error.severity = value,
                b'S' if error.severity.is_empty() => error.severity = value,
                b'C' => error.code = value,
                b'M' => error.message = value,
                b'D' => error.detail = Some(value),
                b'H' => error.hint = Some(value),
                b'R' => error.routine = Some(value),
                _ => {}
            }
        }
        Ok(error)
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.message, self.code)?;
        match &self.detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ServerError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_speaks_against_incremental_backups_alone() {
        let asked = |code: &str| {
            let said = ServerError { code: code.to_owned(), ..ServerError::default() };
            said.while_incremental("unable to take the backup")
        };
        for code in ["55000", "XX000", "XX001", "58P01"] {
            assert!(asked(code).is_about_incremental(), "{code}");
        }
        for code in ["57014", "57P01", "53300", "42501", "08006", ""] {
            assert!(!asked(code).is_about_incremental(), "{code}");
        }
    }
}
