//! What can go wrong while a restore is planned or executed.

use std::path::Path;

use crate::{
    codec, repo,
    types::{DataPath, ErrorCode, Failure, Invalid},
    work,
};

/// A restore that was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The repository failed.
    #[error(transparent)]
    Repo(#[from] repo::Error),
    /// A file that PostgreSQL wrote is not valid.
    #[error(transparent)]
    Postgres(#[from] crate::postgres::Error),
    /// A name is not valid.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The plan cannot be made: nothing was touched.
    #[error("{what}")]
    Refused {
        /// What is wrong.
        what: String,
        /// The code it is reported under.
        code: ErrorCode,
        /// What to do about it; empty where there is nothing.
        hint: String,
    },
    /// A block in the repository is not the one that was backed up.
    #[error("'{object}' is damaged: block {block} of file '{file}' does not match its digest")]
    Block {
        /// The object.
        object: String,
        /// The file whose block it is.
        file: DataPath,
        /// The number of the block in the file.
        block: u64,
    },
    /// A frame in the repository cannot be decompressed.
    #[error(
        "'{object}' is damaged in the frame at offset {offset}, which holds block {block} of file \
         '{file}': {source}"
    )]
    Frame {
        /// The object.
        object: String,
        /// Where the frame begins in it.
        offset: u64,
        /// The first file whose block is in the frame.
        file: DataPath,
        /// The number of that block in the file.
        block: u64,
        /// What is wrong with the frame.
        source: codec::Error,
    },
    /// An object that a file needs could not be read.
    #[error("unable to restore file '{file}': {source}")]
    Fetch {
        /// The file.
        file: DataPath,
        /// Why not.
        source: repo::Error,
    },
    /// Something in the target directory could not be done.
    #[error("unable to {operation} '{path}': {source}")]
    Target {
        /// What was tried, such as "write".
        operation: &'static str,
        /// On which path.
        path: String,
        /// The code it is reported under.
        code: ErrorCode,
        /// The cause.
        source: std::io::Error,
    },
    /// A thread or a task did not do its work.
    #[error(transparent)]
    Work(#[from] work::Error),
}

impl Error {
    pub(super) fn refused(
        code: ErrorCode,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self::Refused { what: what.into(), code, hint: hint.into() }
    }

    /// Makes the errors of one kind of operation on `path`.
    pub(super) fn target(
        operation: &'static str,
        path: &Path,
        code: ErrorCode,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Target { operation, path, code, source }
    }
}

impl Failure for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Repo(error) | Self::Fetch { source: error, .. } => error.code(),
            Self::Postgres(error) => error.code(),
            Self::Invalid(error) => error.code(),
            Self::Refused { code, .. } | Self::Target { code, .. } => *code,
            Self::Block { .. } | Self::Frame { .. } => ErrorCode::Checksum,
            Self::Work(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Repo(error) | Self::Fetch { source: error, .. } => error.hint(),
            Self::Postgres(error) => error.hint(),
            Self::Refused { hint, .. } => (!hint.is_empty()).then(|| hint.clone()),
            Self::Block { .. } | Self::Frame { .. } => Some(
                "global/pg_control was not restored, so PostgreSQL cannot start from this restore\n\
                 restore another backup with --set, or from another repository with --repo"
                    .to_owned(),
            ),
            Self::Work(error) => error.hint(),
            _ => None,
        }
    }
}
