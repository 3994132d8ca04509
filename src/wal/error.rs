//! What can go wrong with a WAL file on its way into the archive or out of it.

use std::{io, path::PathBuf};

use crate::{
    repo,
    types::{ErrorCode, Failure},
};

/// A WAL file that was not pushed or not delivered. None of these means that the file is absent.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The repository failed, or what it holds is damaged or ambiguous.
    #[error(transparent)]
    Repo(#[from] repo::Error),
    /// A file of this host could not be used.
    #[error("unable to {operation} '{path}': {source}", path = path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// What is to be pushed is no regular file.
    #[error("unable to push '{path}': it is not a regular file", path = path.display())]
    NotAFile {
        /// What was to be pushed.
        path: PathBuf,
    },
    /// The file is not the WAL that its name says.
    #[error("'{file}' is not the WAL that its name says: {reason}")]
    Content {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The WAL belongs to another cluster than the stanza.
    #[error("'{file}' is of {found}, but the stanza is of {expected}")]
    OtherCluster {
        /// The file.
        file: String,
        /// The cluster that wrote the file.
        found: String,
        /// The cluster of the stanza.
        expected: String,
    },
    /// The file changed while it was read.
    #[error("'{path}' changed while it was read", path = path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
}

impl Error {
    pub(super) fn file(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { operation, path, source }
    }
}

impl Failure for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Repo(error) => error.code(),
            Self::File { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                ErrorCode::FileMissing
            }
            Self::File { operation, .. } => match *operation {
                "open" => ErrorCode::FileOpen,
                "read" => ErrorCode::FileRead,
                _ => ErrorCode::FileWrite,
            },
            Self::NotAFile { .. } => ErrorCode::FileInvalid,
            Self::Content { .. } => ErrorCode::Format,
            Self::OtherCluster { .. } => ErrorCode::ArchiveMismatch,
            Self::Changed { .. } => ErrorCode::FileRead,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Repo(error) => return error.hint(),
            Self::File { .. } | Self::NotAFile { .. } => return None,
            Self::Content { .. } => {
                "the segment is damaged, cut short, or recycled and not yet written; it was not taken"
            }
            Self::OtherCluster { .. } => {
                "is this the right stanza for this server? After a PostgreSQL upgrade run stanza-upgrade"
            }
            Self::Changed { .. } => {
                "PostgreSQL archives only what it no longer writes to; try again"
            }
        };
        Some(text.to_owned())
    }
}
