//! What can go wrong while a backup is taken.

use crate::types::{ErrorCode, Failure};

/// A failed backup.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server broke the protocol, or ended the backup.
    #[error("the source broke its contract: {0}")]
    Source(String),
}

impl Failure for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Source(_) => ErrorCode::Protocol,
        }
    }
}
