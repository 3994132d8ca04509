//! What can go wrong in the restore engine.

use crate::types::{ErrorCode, Failure};

/// A failed operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The repository failed.
    #[error(transparent)]
    Repo(#[from] crate::repo::Error),
}

impl Failure for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Repo(error) => error.code(),
        }
    }
}
