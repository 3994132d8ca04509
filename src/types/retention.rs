//! The retention options of a repository, which the configuration reads and the rules of retention apply.

use super::{BackupType, words::words};

words! {
    /// Whether `retention-full` is a number of backups or of days.
    #[derive(Default)]
    pub enum FullType ("full retention type") {
        /// Backups.
        #[default]
        Count = "count",
        /// Days.
        Time = "time",
    }
}

/// How many days, weeks, months and years keep their last full backup. The current one counts; `None`: not set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Calendar {
    pub daily: Option<u32>,
    /// Weeks begin on Monday.
    pub weekly: Option<u32>,
    pub monthly: Option<u32>,
    pub yearly: Option<u32>,
}

impl Calendar {
    /// Whether any rule is set.
    pub fn is_set(&self) -> bool {
        self.daily.or(self.weekly).or(self.monthly).or(self.yearly).is_some()
    }
}

/// `repoN-retention-…`; `None`: the option is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct RetentionSettings {
    /// A number of full backups, or of days.
    pub full: Option<u32>,
    pub full_type: FullType,
    /// A number of differential backups; fulls count as such.
    pub diff: Option<u32>,
    /// For how many backups WAL is kept to roll forward.
    pub archive: Option<u32>,
    /// The type of those backups; a fuller backup counts as any lesser type.
    pub archive_type: BackupType,
    /// `-daily`, `-weekly`, `-monthly`, `-yearly`.
    pub calendar: Calendar,
}

impl Default for RetentionSettings {
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
