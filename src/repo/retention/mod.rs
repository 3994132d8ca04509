//! Which backups and which WAL a repository keeps: the rules of retention, as pure functions from what
//! is there to a plan. No I/O: what was listed goes in, what is to be removed comes out, so every rule
//! can be tested with a clock of the test's own, and a dry run is the plan itself.
//!
//! The order of the rules, each of which only ever adds to what stays:
//!
//! 1. fulls by count, by time, and the last of a day, week, month or year ([`families`], `calendar`);
//! 2. the backups that build on those, less the differentials beyond their own count;
//! 3. what a mark keeps, what a backup in progress builds on, and the last backup without page errors;
//! 4. everything that any of these needs, so a chain is never broken.
//!
//! What WAL stays follows from the backups that stay, see [`wal`].

mod calendar;
mod chosen;
mod error;
mod facts;
pub mod families;
mod plan;
mod settings;
pub mod wal;

pub use error::Error;
pub use facts::{
    BackupFacts, GRACE_SECONDS, InProgress, LOST_GRACE_SECONDS, Unpublished, UnpublishedState,
};
pub use plan::{ExpirePlan, Inventory, Kept, Why, plan};
pub use settings::{Calendar, FullType, Scope, Settings};

#[cfg(test)]
mod tests;
