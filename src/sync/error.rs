//! Errors of repo-sync.

use crate::{
    repo::{
        self,
        Error::{Encrypted, Storage, Version},
    },
    storage::{self, ErrorKind},
    types::{BackupLabel, ErrorCode, Failure, Invalid},
    wal,
};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source cannot be read, or an object in it is damaged.
    #[error(transparent)]
    Source(#[from] repo::Error),
    /// A WAL file of the source is damaged or does not match its name.
    #[error(transparent)]
    Wal(#[from] wal::Error),
    /// The target cannot be read or written, which ends the copy.
    #[error(transparent)]
    Target(repo::Error),
    /// An object in the target differs from the one to copy.
    #[error("'{object}' already exists in the target with different content: {what}")]
    Differs { object: String, what: String },
    /// The stanza of the target has a different cluster.
    #[error("stanza '{stanza}' is {found} in the target, but {expected} in the source")]
    OtherCluster { stanza: String, found: String, expected: String },
    /// The target has backups or WAL of a stanza without history.
    #[error(
        "the target '{location}' has backups or WAL of stanza '{stanza}', but no stanza history"
    )]
    NoHistory { location: String, stanza: String },
    /// An object that a backup needs is missing in the target.
    #[error("backup {label} needs {needed}, which is not in the target")]
    Needs { label: BackupLabel, needed: String },
    /// The target has another backup with this label.
    #[error("the target has a different backup with label {label}, started on host {host}")]
    Taken {
        label: BackupLabel,
        /// From its notice.
        host: String,
    },
    /// An expire of the target removed the copy as an interrupted one.
    #[error("backup {label} was removed from the target while it was copied")]
    Removed { label: BackupLabel },
    #[error("backup {label} was expired in the source during the copy")]
    Expired { label: BackupLabel },
    /// The retention of the target cannot be computed.
    #[error(transparent)]
    Retention(#[from] repo::retention::Error),
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

impl Error {
    pub(super) fn target(error: storage::Error) -> Self {
        Self::Target(error.into())
    }

    pub(super) fn source(error: storage::Error) -> Self {
        Self::Source(error.into())
    }

    /// Whether the copy has to end, because the target fails for more than one object.
    pub(super) fn is_fatal(&self) -> bool {
        matches!(self, Self::Target(_)) && !self.is_of_one_object()
    }

    /// Whether the error concerns one object, so that others can still be copied.
    pub(super) fn is_of_one_object(&self) -> bool {
        match self {
            Self::Source(error) | Self::Target(error) | Self::Wal(wal::Error::Repo(error)) => {
                error.is_damage() || matches!(error, Version { .. } | Encrypted { .. })
            }
            Self::Differs { .. } => true,
            _ => false,
        }
    }

    /// Whether the source did not answer within the retries of its options.
    pub(super) fn is_unanswered(&self) -> bool {
        match self {
            Self::Source(Storage(error)) | Self::Wal(wal::Error::Repo(Storage(error))) => {
                error.kind() == ErrorKind::Transient
            }
            _ => false,
        }
    }

    /// Whether an expire of the source may be the cause.
    pub(super) fn may_be_expired(&self) -> bool {
        self.is_gone() || matches!(self, Self::Needs { .. })
    }

    /// Whether the object is proven to be absent in the source.
    pub(super) fn is_gone(&self) -> bool {
        match self {
            Self::Source(error) | Self::Wal(wal::Error::Repo(error)) => error.is_not_found(),
            _ => false,
        }
    }
}

impl Failure for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Source(error) | Self::Target(error) => error.code(),
            Self::Wal(error) => error.code(),
            Self::Differs { .. } | Self::Taken { .. } => ErrorCode::FileExists,
            Self::OtherCluster { .. } => ErrorCode::BackupMismatch,
            Self::NoHistory { .. } => ErrorCode::PathNotEmpty,
            Self::Needs { .. } | Self::Removed { .. } | Self::Expired { .. } => {
                ErrorCode::FileMissing
            }
            Self::Retention(error) => error.code(),
            Self::Invalid(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Source(error) | Self::Target(error) => return error.hint(),
            Self::Wal(error) => return error.hint(),
            Self::Differs { .. } => {
                "neither is overwritten; run verify on both repositories to see which one is valid"
            }
            Self::OtherCluster { .. } => {
                "use a separate stanza for each cluster, or run stanza-upgrade on the repository that missed an upgrade"
            }
            Self::NoHistory { .. } => {
                "a stanza-delete may have been interrupted; run stop and stanza-delete to remove \
                 the rest"
            }
            Self::Needs { .. } => {
                "an error before this one may say why it was not copied; verify of the source tells \
                 whether it is there"
            }
            Self::Taken { .. } => {
                "a backup is being made there, or one was cut short: expire of the target removes what \
                 that left a day later; then run repo-sync again"
            }
            Self::Removed { .. } => {
                "an expire on another host found no sign of life of it; run repo-sync again"
            }
            Self::Expired { .. } | Self::Retention(_) | Self::Invalid(_) => return None,
        };
        Some(text.to_owned())
    }
}
