//! Copies backups and WAL of a stanza from one repository to another: what is missing there, proven on the way, in an
//! order that makes every moment a good one to be interrupted at.
//!
//! First the stanza's history, then WAL, then backup by backup, oldest first: its objects, and its manifest last. So a
//! backup exists in the target when all of it is there, and after the backups that it refers to. What is there
//! already is not read again: an object came into being whole, and it is of the size that is recorded. Nothing is ever
//! removed from the target: that is expire's.

mod backup_copy;
mod changes;
mod copy;
mod error;
mod execute;
mod gather;
mod history;
mod plan;
mod wal_copy;

use std::sync::Arc;

use jiff::tz::TimeZone;

pub use error::Error;
pub use execute::{Copied, Failed, Outcome, execute};
pub use history::HistoryMap;
pub use plan::{BackupCopy, Facts, Known, Skipped, SyncPlan, WalRule, Why, plan};
pub use wal_copy::{WalCopy, WalDirectory};

use crate::{
    repo::{publication::Shield, retention::Settings},
    storage::Storage,
    types::{BackupLabel, StanzaName},
};

/// The two repositories, and the stanza.
#[derive(Clone, Debug)]
pub struct Route {
    /// Where it comes from.
    pub from: Arc<dyn Storage>,
    /// Where it goes to.
    pub to: Arc<dyn Storage>,
    /// The stanza.
    pub stanza: StanzaName,
}

/// What is to be copied, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Only this backup and what it needs.
    pub set: Option<BackupLabel>,
    /// The retention of the target: what it would expire at once is not copied.
    pub retention: Settings,
    /// How many objects are copied at a time.
    pub at_once: usize,
    /// Seconds since 1970.
    pub now: i64,
    /// Where days begin.
    pub zone: TimeZone,
    /// Raised while a backup is published.
    pub shield: Shield,
}

/// Looks at both repositories and says what would be copied. Nothing is written.
pub async fn prepare(route: &Route, options: &Options) -> Result<SyncPlan, Error> {
    let facts = gather::gather(route).await?;
    let mut plan = plan(facts, options)?;
    gather::measure(route, &mut plan.backups).await?;
    plan.wal = wal_copy::find(route, &plan.rules).await?;
    Ok(plan)
}

#[cfg(test)]
mod tests;
