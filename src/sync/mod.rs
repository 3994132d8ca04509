//! Copies the backups and WAL of a stanza that another repository lacks. Every object is verified while it is copied, and
//! the order of the steps makes it safe to interrupt the copy at any moment.
//!
//! First the stanza's history, then WAL, then the backups, oldest first: their objects, and the manifest last. So a backup
//! exists in the target only when all of it and all backups that it refers to are there. Objects that exist already are
//! not read again if their size is the recorded one, because objects are created whole. Nothing is removed from the
//! target: that is left to expire.

mod backup_copy;
mod changes;
mod copy;
mod error;
mod execute;
mod gather;
mod history;
mod plan;
mod wal_copy;
mod wal_rule;

use std::sync::Arc;

use jiff::tz::TimeZone;

pub use backup_copy::CopiedBackup;
pub use error::Error;
pub use execute::{Failed, Outcome, execute};
pub use history::HistoryMap;
pub use plan::{BackupCopy, MarkedBackup, SkipReason, Skipped, SyncInventory, SyncPlan, plan};
pub use wal_copy::{WalCopy, WalDirectory};
pub use wal_rule::WalRule;

use crate::{
    repo::{publication::Shield, retention::Settings},
    storage::Storage,
    types::{BackupLabel, StanzaName},
};

/// The two repositories, and the stanza.
#[derive(Clone, Debug)]
pub struct Route {
    pub from: Arc<dyn Storage>,
    pub to: Arc<dyn Storage>,
    pub stanza: StanzaName,
}

#[derive(Clone, Debug)]
pub struct Options {
    /// Only this backup, the backups it refers to, and its WAL.
    pub set: Option<BackupLabel>,
    /// The retention settings of the target: a backup that it would expire is not copied.
    pub retention: Settings,
    /// Number of objects copied concurrently.
    pub at_once: usize,
    /// Seconds since 1970.
    pub now: i64,
    /// For calendar retention.
    pub zone: TimeZone,
    /// Protects the publication of a backup from a signal.
    pub shield: Shield,
}

/// Reads both repositories and makes the plan. Nothing is written.
pub async fn prepare(route: &Route, options: &Options) -> Result<SyncPlan, Error> {
    let inventory = gather::gather(route).await?;
    let mut plan = plan(inventory, options)?;
    gather::measure(route, &mut plan.backups).await?;
    plan.wal = wal_copy::find(route, &plan.rules).await?;
    Ok(plan)
}

#[cfg(test)]
mod tests;
