//! Errors that prevent a verification. A fault of the repository is not an error but a [`Fault`](super::Fault) of the
//! report.

use crate::{
    repo,
    types::{ErrorCode, Failure, Invalid},
    work,
};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Repo(#[from] repo::Error),
    #[error(transparent)]
    Invalid(#[from] Invalid),
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
