//! What can go wrong while a backup is taken.

use crate::{
    postgres,
    types::{ErrorCode, Failure},
};

/// A failed backup.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server broke the protocol, or ended the backup.
    #[error("the source broke its contract: {0}")]
    Source(String),
    /// The server, or the connection to it, failed.
    #[error(transparent)]
    Postgres(#[from] postgres::Error),
}

impl Failure for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Source(_) => ErrorCode::Protocol,
            Self::Postgres(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Source(_) => None,
            Self::Postgres(error) => error.hint(),
        }
    }
}
