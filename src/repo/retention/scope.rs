//! The scope of one expire.

use crate::types::{BackupLabel, WalSegment};

/// What is to be expired.
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
