//! What can go wrong while a repository is copied.

use crate::{
    repo::{
        self,
        Error::{Encrypted, Storage, Version},
    },
    storage::{self, ErrorKind},
    types::{BackupLabel, ErrorCode, Failure, Invalid},
    wal,
};

/// A copy that was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source cannot be read, or what it holds is damaged.
    #[error(transparent)]
    Source(#[from] repo::Error),
    /// A WAL file of the source is damaged, or is not what its name says.
    #[error(transparent)]
    Wal(#[from] wal::Error),
    /// The target cannot be read or written: nothing more can be copied to it.
    #[error(transparent)]
    Target(repo::Error),
    /// What is in the target is not what was to be copied.
    #[error("'{object}' is in the target already, and is not the same: {what}")]
    Differs {
        /// The object.
        object: String,
        /// In what.
        what: String,
    },
    /// The stanza of the target is another cluster.
    #[error("stanza '{stanza}' is {found} in the target, and {expected} in the source")]
    OtherCluster {
        /// The stanza.
        stanza: String,
        /// The cluster of the target.
        found: String,
        /// That of the source.
        expected: String,
    },
    /// The target has backups or WAL of a stanza that it does not know.
    #[error(
        "the target '{location}' has backups or WAL of stanza '{stanza}', but no history of it"
    )]
    NoHistory {
        /// The repository.
        location: String,
        /// The stanza.
        stanza: String,
    },
    /// What a backup needs is not in the target.
    #[error("backup {label} needs {needed}, which is not in the target")]
    Needs {
        /// The backup.
        label: BackupLabel,
        /// What it needs.
        needed: String,
    },
    /// There is something else in the target under the backup's label.
    #[error("the target has something else under label {label}, which was begun on host {host}")]
    Taken {
        /// The label.
        label: BackupLabel,
        /// The host that its notice tells.
        host: String,
    },
    /// An expire of the target took the copy for what was left of one that was interrupted.
    #[error("backup {label} was removed from the target while it was copied")]
    Removed {
        /// The backup.
        label: BackupLabel,
    },
    /// The source expired the backup meanwhile.
    #[error("backup {label} was expired in the source meanwhile")]
    Expired {
        /// The backup.
        label: BackupLabel,
    },
    /// The retention of the target cannot be worked out.
    #[error(transparent)]
    Retention(#[from] repo::retention::Error),
    /// A name is not valid.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

impl Error {
    /// An error of the target's storage.
    pub(super) fn target(error: storage::Error) -> Self {
        Self::Target(error.into())
    }

    /// An error of the source's storage.
    pub(super) fn source(error: storage::Error) -> Self {
        Self::Source(error.into())
    }

    /// Whether nothing more can be copied: the target fails, and not for one object.
    pub(super) fn is_fatal(&self) -> bool {
        matches!(self, Self::Target(_)) && !self.is_of_one_object()
    }

    /// Whether it is one object that is wrong, so that others can still be read and written.
    pub(super) fn is_of_one_object(&self) -> bool {
        match self {
            Self::Source(error) | Self::Target(error) | Self::Wal(wal::Error::Repo(error)) => {
                error.is_damage() || matches!(error, Version { .. } | Encrypted { .. })
            }
            Self::Differs { .. } => true,
            _ => false,
        }
    }

    /// Whether the source gave no answer, although it was asked for as long as its options say.
    pub(super) fn is_unanswered(&self) -> bool {
        match self {
            Self::Source(Storage(error)) | Self::Wal(wal::Error::Repo(Storage(error))) => {
                error.kind() == ErrorKind::Transient
            }
            _ => false,
        }
    }

    /// Whether it may be so because the source expired the backup since.
    pub(super) fn may_be_expired(&self) -> bool {
        self.is_gone() || matches!(self, Self::Needs { .. })
    }

    /// Whether the object was proven not to be in the source.
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
                "neither is overwritten; run verify on both repositories to see which is right"
            }
            Self::OtherCluster { .. } => {
                "give the clusters stanzas of their own, or run stanza-upgrade on the repository that \
                 missed an upgrade"
            }
            Self::NoHistory { .. } => {
                "a stanza-delete may have been cut short; run stop and stanza-delete to remove the rest"
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
