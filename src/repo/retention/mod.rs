//! Retention: pure functions from an inventory of the repository to a plan of what to remove. No I/O and no clock of
//! its own, so every rule can be tested, and a dry run is the plan itself.
//!
//! The rules in their order; each one only adds to the backups that are kept:
//!
//! 1. fulls by count, by time, and the last of a day, week, month or year ([`families`], `calendar`);
//! 2. the backups that build on those, less the differentials beyond their own count;
//! 3. backups with a keep mark, backups that a backup in progress builds on, and the last backup without page errors;
//! 4. every backup that one of these needs, so an incremental chain is never broken.
//!
//! Which WAL is kept follows from the backups that are kept, see [`wal`].

mod calendar;
mod error;
pub mod families;
mod inventory;
mod plan;
mod reason;
mod scope;
mod selection;
pub mod wal;

pub use crate::types::{Calendar, FullType, RetentionSettings as Settings};
pub use error::Error;
pub use inventory::{
    BackupSummary, GRACE_SECONDS, InProgress, Inventory, LOST_GRACE_SECONDS, Unpublished,
    UnpublishedState,
};
pub use plan::{ExpirePlan, Kept, plan};
pub use reason::KeepReason;
pub use scope::Scope;

#[cfg(test)]
mod tests;
