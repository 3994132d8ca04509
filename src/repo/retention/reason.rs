//! Why a backup is kept, as expire reports it.

use std::fmt;

use crate::types::BackupLabel;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeepReason {
    /// `repoN-retention-full` or `repoN-retention-diff`.
    Retention,
    /// The last full of a day; so on for the next ones.
    Daily,
    Weekly,
    Monthly,
    Yearly,
    /// It has a keep mark.
    Marked,
    /// A backup in progress builds on it.
    InUse(BackupLabel),
    /// All newer backups have page errors.
    LastWithoutPageErrors,
    /// A backup that is kept needs it.
    NeededBy(BackupLabel),
    /// Its full backup is missing, so no rule applies to it.
    WithoutFull,
    /// Another backup was requested to be expired.
    NotRequested,
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retention => f.write_str("retention"),
            Self::Daily => f.write_str("last full of a day"),
            Self::Weekly => f.write_str("last full of a week"),
            Self::Monthly => f.write_str("last full of a month"),
            Self::Yearly => f.write_str("last full of a year"),
            Self::Marked => f.write_str("marked to be kept"),
            Self::InUse(label) => write!(f, "backup {label} in progress builds on it"),
            Self::LastWithoutPageErrors => f.write_str("last backup without errors"),
            Self::NeededBy(label) => write!(f, "needed by {label}"),
            Self::WithoutFull => f.write_str("its full backup is missing"),
            Self::NotRequested => f.write_str("not requested"),
        }
    }
}
