//! The retention settings of a repository, and the scope of one expire.

use crate::types::{BackupLabel, BackupType, WalSegment};

/// How `repoN-retention-full` is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FullType {
    /// A number of full backups.
    #[default]
    Count,
    /// A number of days.
    Time,
}

/// For how many days, weeks, months and years the last full backup of each is kept. The current one counts. `None`: the
/// rule is not set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calendar {
    pub daily: Option<u32>,
    /// Weeks begin on Monday.
    pub weekly: Option<u32>,
    pub monthly: Option<u32>,
    pub yearly: Option<u32>,
}

impl Calendar {
    pub fn is_set(&self) -> bool {
        self.daily.or(self.weekly).or(self.monthly).or(self.yearly).is_some()
    }
}

/// The retention options of one repository, `repoN-retention-…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Full backups or days, see `full_type`.
    pub full: Option<u32>,
    pub full_type: FullType,
    /// Differential backups; fulls count as such.
    pub diff: Option<u32>,
    /// Backups whose WAL is kept to recover beyond their end.
    pub archive: Option<u32>,
    /// The type of those; a full counts as differential too, and both as incremental.
    pub archive_type: BackupType,
    pub calendar: Calendar,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            full: None,
            full_type: FullType::Count,
            diff: None,
            archive: None,
            archive_type: BackupType::Full,
            calendar: Calendar::default(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All that the settings do not keep.
    Retention,
    /// One backup and all that build on it, regardless of the settings.
    Set(BackupLabel),
    /// The oldest full backup and all that build on it, regardless of the settings.
    Oldest,
    /// Only WAL before this segment, as far as no backup needs it.
    WalBefore(WalSegment),
}
