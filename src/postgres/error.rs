//! What can go wrong between this program and a server, or in a file that a server wrote.

use std::{fmt, io};

use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::ErrorFields;

use crate::types::{DataPath, ErrorCode, Failure, Invalid};

/// The result of an operation of this module.
pub type Result<T> = std::result::Result<T, Error>;

/// What is waited for between the command and the first archive of a backup.
pub(crate) const WAITING_FOR_START: &str = "waiting for the backup to start";

/// A failure of the connection, of the server, or of bytes that a server wrote.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The options do not make a connection.
    #[error("the connection options are not valid: {0}")]
    Options(String),
    /// The server cannot be reached.
    #[error("unable to connect to {endpoint}: {source}")]
    Connect {
        /// Socket, or host and port.
        endpoint: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The TLS handshake, its files or its checks failed.
    #[error("unable to use TLS with {endpoint}: {reason}")]
    Tls {
        /// Socket, or host and port.
        endpoint: String,
        /// What OpenSSL or the check said.
        reason: String,
    },
    /// The server let us not in, or the exchange could not be completed.
    #[error("unable to authenticate as {user} at {endpoint}: {reason}")]
    Authentication {
        /// Socket, or host and port.
        endpoint: String,
        /// The role.
        user: String,
        /// Why.
        reason: String,
    },
    /// A connection pooler stands where the server was expected.
    #[error(
        "{endpoint} is a connection pooler and not the server: it says that the session is process \
         {announced}, the server says {server_process}"
    )]
    Pooler {
        /// Socket, or host and port.
        endpoint: String,
        /// The process that the session was said to have.
        announced: i32,
        /// The process that it has.
        server_process: i32,
    },
    /// The server answered with an error before the session began.
    #[error("unable to open a session at {endpoint}: {source}")]
    Refused {
        /// Socket, or host and port.
        endpoint: String,
        /// What the server said.
        source: Box<ServerError>,
    },
    /// The server answered with an error.
    #[error("{doing}: {source}")]
    Server {
        /// What was asked of it.
        doing: String,
        /// What it said.
        source: Box<ServerError>,
    },
    /// The connection broke.
    #[error("the connection to the server broke while {doing}: {source}")]
    Broken {
        /// What was going on.
        doing: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// Nothing came for too long.
    #[error("the server sent nothing for {seconds} s while {doing}")]
    Timeout {
        /// What was waited for.
        doing: &'static str,
        /// How long.
        seconds: u64,
    },
    /// What came is not what the protocol allows here.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    /// The archive inside the backup stream is damaged.
    #[error("the backup stream is damaged: {0}")]
    Tar(String),
    /// The role may not do what was asked.
    #[error("{doing}: {source}")]
    PermissionDenied {
        /// What was asked.
        doing: String,
        /// What the server said.
        source: Box<ServerError>,
    },
    /// A file that PostgreSQL writes is not in its form.
    #[error("{file} is not valid: {reason}")]
    Format {
        /// The file or kind of file.
        file: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A checksum does not match.
    #[error("{file} is damaged: {reason}")]
    Checksum {
        /// The file or kind of file.
        file: &'static str,
        /// Which checksum, expected and found.
        reason: String,
    },
    /// The standby that the files come from became a primary: what came so far is of no use.
    #[error("the standby was promoted while the backup was taken: {source}")]
    Promoted {
        /// What the server said.
        source: Box<ServerError>,
    },
    /// The server cannot say what changed since the prior backup.
    #[error("the server cannot take an incremental backup: {source}")]
    NotIncremental {
        /// What the server said.
        source: Box<ServerError>,
    },
    /// The server's WAL summaries do not say what changed since the prior backup.
    #[error("the server's WAL summaries cannot be used: {reason}")]
    Summaries {
        /// What is wrong with them.
        reason: String,
    },
    /// A file of an incremental backup does not go together with the prior backup.
    #[error("'{path}' of the server's incremental backup cannot be used: {reason}")]
    IncrementalFile {
        /// The file it stands for.
        path: DataPath,
        /// What does not fit.
        reason: String,
    },
    /// A value that came from a server is not valid.
    #[error("the server sent a value that is not valid: {0}")]
    Invalid(#[from] Invalid),
    /// The server is not one of the supported versions.
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

    /// What the server said, where it is the server that failed.
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

    /// Whether it is what a standby that was promoted answers to a backup. It answers so in other states too: whether it
    /// was promoted must be asked.
    pub fn may_be_of_promotion(&self) -> bool {
        matches!(self, Self::Server { source, .. } if source.code == ServerError::NOT_IN_STATE)
    }

    /// The same error of a server that was promoted.
    #[must_use]
    pub fn of_promotion(self) -> Self {
        match self {
            Self::Server { source, .. } => Self::Promoted { source },
            other => other,
        }
    }

    /// Whether it is the server's knowledge of what changed alone that failed: the same backup can be
    /// taken, on a new session, without asking for it.
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
                "is the server running, and are host, port and socket directory right?".to_owned(),
            ),
            Self::Refused { source, .. }
            | Self::Server { source, .. }
            | Self::PermissionDenied { source, .. }
            | Self::NotIncremental { source } => source.hint.clone(),
            Self::Pooler { .. } => Some(
                "connect to the server itself: pgN-port and pgN-host, or pgN-socket-path. Poolers such as \
                 PgBouncer may give every statement another session, and a backup needs one of its own."
                    .to_owned(),
            ),
            Self::Promoted { .. } => {
                Some("nothing of this backup is kept: take another one.".to_owned())
            }
            Self::Timeout { doing, .. } if *doing == WAITING_FOR_START => Some(
                "the server waits for its next checkpoint: use start-fast, or a db-timeout longer \
                 than the server's checkpoint_timeout."
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
    /// The message.
    pub message: String,
    /// The detail, where there is one.
    pub detail: Option<String>,
    /// The hint, where there is one.
    pub hint: Option<String>,
    /// The function of the server that the message comes from.
    pub routine: Option<String>,
}

impl ServerError {
    /// SQLSTATE of a backup that is complete but had checksum failures (`data_corrupted`).
    pub const DATA_CORRUPTED: &'static str = "XX001";
    /// SQLSTATE `object_not_in_prerequisite_state`.
    pub const NOT_IN_STATE: &'static str = "55000";
    /// SQLSTATE `insufficient_privilege`.
    pub const INSUFFICIENT_PRIVILEGE: &'static str = "42501";
    /// SQLSTATE `invalid_authorization_specification`: also what a missing pg_hba.conf entry gives.
    pub const INVALID_AUTHORIZATION: &'static str = "28000";

    /// Whether an error that came while the server prepared an incremental backup speaks against that
    /// kind of backup, and not against any: summaries that are missing, damaged or late, a prior backup
    /// of another timeline or cluster. By SQLSTATE, since the words may be translated: object not in
    /// prerequisite state, internal error (the manifest's parser), damaged data, missing file.
    pub(crate) fn refuses_incremental(&self) -> bool {
        matches!(&*self.code, Self::NOT_IN_STATE | "XX000" | Self::DATA_CORRUPTED | "58P01")
    }

    /// The error of a server that was asked for an incremental backup.
    pub(crate) fn while_incremental(self, doing: &str) -> Error {
        match self.refuses_incremental() {
            true => Error::NotIncremental { source: Box::new(self) },
            false => Error::server(doing, self),
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
