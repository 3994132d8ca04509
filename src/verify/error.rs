//! What keeps a repository from being verified at all. What is wrong with it is no error but a
//! [`Fault`](super::Fault) of the report.

use crate::{
    repo,
    types::{ErrorCode, Failure, Invalid},
};

/// Nothing can be told of the repository.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The repository cannot be looked at.
    #[error(transparent)]
    Repo(#[from] repo::Error),
    /// A name is not valid.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A worker thread could not be started.
    #[error("unable to start a worker thread: {0}")]
    Thread(std::io::Error),
    /// A worker thread ended before its work was done.
    #[error("a worker thread ended unexpectedly")]
    WorkerLost,
}

impl From<crate::storage::Error> for Error {
    fn from(error: crate::storage::Error) -> Self {
        Self::Repo(error.into())
    }
}

impl Failure for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Repo(error) => error.code(),
            Self::Invalid(error) => error.code(),
            Self::Thread(_) => ErrorCode::Kernel,
            Self::WorkerLost => ErrorCode::Assert,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Repo(error) => error.hint(),
            _ => None,
        }
    }
}
