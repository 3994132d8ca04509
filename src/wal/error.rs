//! Errors of archive-push and archive-get.

use std::{io, path::PathBuf};

use crate::{
    repo,
    types::{ErrorCode, Failure, open_files_hint},
};

/// The file was not pushed or not delivered. No variant means that the file does not exist: that is
/// [`super::GetOutcome::Absent`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Repo(#[from] repo::Error),
    #[error("unable to {operation} '{path}': {source}", path = path.display())]
    File { operation: &'static str, path: PathBuf, source: io::Error },
    #[error("unable to push '{path}': it is not a regular file", path = path.display())]
    NotAFile { path: PathBuf },
    #[error("the content of '{file}' does not match its name: {reason}")]
    Content { file: String, reason: String },
    #[error("'{file}' belongs to {found}, but the stanza to {expected}")]
    OtherCluster { file: String, found: String, expected: String },
    #[error("'{path}' changed while it was read", path = path.display())]
    Changed { path: PathBuf },
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
            Self::File { source, .. } => return open_files_hint(source).map(str::to_owned),
            Self::NotAFile { .. } => return None,
            Self::Content { .. } => {
                "the segment is damaged, truncated, or recycled and not yet written; it was not archived"
            }
            Self::OtherCluster { .. } => {
                "is the stanza correct for this server? After a PostgreSQL upgrade run stanza-upgrade"
            }
            Self::Changed { .. } => {
                "PostgreSQL archives only files that it no longer writes; try again"
            }
        };
        Some(text.to_owned())
    }
}
