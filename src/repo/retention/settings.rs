//! What is asked of retention.

use crate::types::{BackupLabel, BackupType, WalSegment};

/// Whether full backups are counted or kept for days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FullType {
    /// Number of full backups to keep.
    #[default]
    Count,
    /// Number of days to keep full backups.
    Time,
}

/// For how many days, weeks, months and years the last full backup of each is kept. The current one
/// counts; `None`: the rule is not set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calendar {
    /// Days.
    pub daily: Option<u32>,
    /// Weeks, which begin on Monday.
    pub weekly: Option<u32>,
    /// Months.
    pub monthly: Option<u32>,
    /// Years.
    pub yearly: Option<u32>,
}

impl Calendar {
    /// Whether any rule is set.
    pub fn is_set(&self) -> bool {
        self.daily.or(self.weekly).or(self.monthly).or(self.yearly).is_some()
    }
}

/// The retention options of one repository, `repoN-retention-…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `-full`: how many full backups, or for how many days.
    pub full: Option<u32>,
    /// `-full-type`.
    pub full_type: FullType,
    /// `-diff`: how many differential backups; fulls count as such.
    pub diff: Option<u32>,
    /// `-archive`: for how many backups WAL is kept to roll forward.
    pub archive: Option<u32>,
    /// `-archive-type`: what those are; a fuller backup counts as any lesser type.
    pub archive_type: BackupType,
    /// `-daily`, `-weekly`, `-monthly`, `-yearly`.
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

/// What is to be expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What the settings do not keep.
    Retention,
    /// One backup with all that build on it, whatever the settings say.
    Set(BackupLabel),
    /// The oldest full backup with all that build on it, whatever the settings say.
    Oldest,
    /// No backup: only WAL before this segment that no backup needs.
    WalBefore(WalSegment),
}
