//! Errors of an expire plan.

use crate::types::{BackupLabel, ErrorCode, Failure};

/// Nothing is removed when the plan fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// `--set` names a backup that does not exist.
    #[error("backup {0} does not exist")]
    Missing(BackupLabel),
    #[error(
        "full backup {0} cannot be expired until another full backup has been created on this repository"
    )]
    LastFull(BackupLabel),
    /// The backup, or one that builds on it, has a keep mark.
    #[error("backup {label} cannot be expired: backup {marked} has a keep mark")]
    Marked { label: BackupLabel, marked: BackupLabel },
    /// A backup in progress builds on it.
    #[error("backup {label} cannot be expired: backup {building} in progress depends on it")]
    InUse { label: BackupLabel, building: BackupLabel },
    /// A backup without manifest holds blocks of a backup that exists.
    #[error("the rest of backup {label} cannot be removed: backup {by} depends on it")]
    Needed { label: BackupLabel, by: BackupLabel },
    #[error("no full backup can be expired")]
    NoFull,
}

impl Failure for Error {
    fn code(&self) -> ErrorCode {
        ErrorCode::BackupSetInvalid
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Missing(_) => "run the info command to list the backups",
            Self::LastFull(_) => "take a full backup first",
            Self::Marked { .. } => "remove the mark with keep --remove",
            Self::InUse { .. } => "try again when that backup has ended",
            Self::Needed { .. } => {
                "restore the manifest from a copy of the repository, or expire the backups that depend on it first"
            }
            Self::NoFull => "the newest full backup and backups with a keep mark are never expired",
        };
        Some(text.to_owned())
    }
}
