//! Why nothing was expired, or not all of it.

use crate::{
    repo::{self, retention},
    storage,
    types::{BackupLabel, ErrorCode, Failure, Invalid},
    work,
};

/// A failed expire.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The repository failed.
    #[error(transparent)]
    Repo(#[from] repo::Error),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// A name is not valid.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Retention keeps what was asked to be expired, or cannot be worked out.
    #[error(transparent)]
    Retention(#[from] retention::Error),
    /// A backup cannot be read, so its dependencies are unknown.
    #[error("nothing is expired, because backup {label} cannot be read: {source}")]
    Unreadable {
        /// The backup.
        label: BackupLabel,
        /// Why not.
        source: repo::Error,
    },
    /// Whenever a plan was made, the repository had changed meanwhile.
    #[error("backups in '{location}' begin and end faster than they can be listed")]
    Unsettled {
        /// The repository.
        location: String,
    },
}

impl From<work::Error> for Error {
    fn from(error: work::Error) -> Self {
        Self::Repo(error.into())
    }
}

impl Error {
    /// Whether the backup that was named does not exist.
    pub fn is_missing_set(&self) -> bool {
        matches!(self, Self::Retention(retention::Error::Missing(_)))
    }
}

impl Failure for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Repo(error) => error.code(),
            Self::Storage(error) => error.code(),
            Self::Invalid(error) => error.code(),
            Self::Retention(error) => error.code(),
            Self::Unreadable { source, .. } => source.code(),
            Self::Unsettled { .. } => ErrorCode::LockAcquire,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Repo(error) => error.hint(),
            Self::Storage(error) => error.hint(),
            Self::Invalid(error) => error.hint(),
            Self::Retention(error) => error.hint(),
            Self::Unreadable { label, source } => unreadable_hint(label, source),
            Self::Unsettled { .. } => Some("nothing was removed; run expire again".to_owned()),
        }
    }
}

fn unreadable_hint(label: &BackupLabel, source: &repo::Error) -> Option<String> {
    match source {
        repo::Error::Incomplete { .. } => Some(format!(
            "its writer may have been interrupted while it published it; bring the objects back from \
             a copy, or remove the backup with expire --set={label}"
        )),
        // A file that this user may not read is neither lost nor damaged.
        _ if source.code() == ErrorCode::Access => source.hint(),
        _ => Some(
            "other backups may build on it; bring its manifest back from a copy, or, if it is \
             lost, remove its directory"
                .to_owned(),
        ),
    }
}
