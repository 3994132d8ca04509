//! What keeps a repository from being verified at all. What is wrong with it is no error but a
//! [`Fault`](super::Fault) of the report.

use crate::{
    repo,
    types::{ErrorCode, Failure, Invalid},
    work,
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
    /// A thread or a task did not do its work.
    #[error(transparent)]
    Work(#[from] work::Error),
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
            Self::Work(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Repo(error) => error.hint(),
            Self::Work(error) => error.hint(),
            _ => None,
        }
    }
}
