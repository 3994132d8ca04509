//! Why nothing is expired.

use crate::types::{BackupLabel, ErrorCode, Failure};

/// A plan that cannot be made. Nothing is removed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// `--set` names no backup.
    #[error("backup {0} does not exist")]
    Missing(BackupLabel),
    /// The last full backup.
    #[error(
        "full backup {0} cannot be expired until another full backup has been created on this repository"
    )]
    LastFull(BackupLabel),
    /// A mark keeps the backup, or one that builds on it.
    #[error("backup {label} cannot be expired: backup {marked} is marked to be kept")]
    Marked {
        /// The backup to expire.
        label: BackupLabel,
        /// The marked one.
        marked: BackupLabel,
    },
    /// A backup in progress builds on it.
    #[error("backup {label} cannot be expired: backup {building} is in progress and builds on it")]
    InUse {
        /// The backup to expire.
        label: BackupLabel,
        /// The backup in progress.
        building: BackupLabel,
    },
    /// What is left of it holds blocks of a backup that exists.
    #[error("what is left of backup {label} cannot be removed: backup {by} needs it")]
    Needed {
        /// The backup whose manifest is missing.
        label: BackupLabel,
        /// The backup that refers to it.
        by: BackupLabel,
    },
    /// `--oldest` finds none.
    #[error("there is no full backup that may be expired")]
    NoFull,
}

impl Failure for Error {
    fn code(&self) -> ErrorCode {
        ErrorCode::BackupSetInvalid
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Missing(_) => "info lists the backups that exist",
            Self::LastFull(_) => "take a full backup first",
            Self::Marked { .. } => "keep --remove takes the mark off",
            Self::InUse { .. } => "expire it when that backup has ended",
            Self::Needed { .. } => {
                "bring the manifest back from a copy of the repository, or expire the backups that need it first"
            }
            Self::NoFull => {
                "the newest full backup is never expired, and backups that are marked to be kept are not"
            }
        };
        Some(text.to_owned())
    }
}
