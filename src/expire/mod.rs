//! Removes the backups that retention does not keep, the WAL that no backup needs, and what interrupted backups left.
//!
//! [`prepare`] lists what the repository has, plans by the rules of [`retention`](crate::repo::retention) and finds every
//! object that goes; [`execute`] removes these objects. An error of any listing means that nothing is removed.

mod error;
mod execute;
mod inventory;
mod plan;
mod removal;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use error::Error;
pub use execute::{Swept, execute, sweep};
pub use plan::{ExpireJob, prepare};
pub use removal::{ArchiveContent, ArchiveRemoval, BackupRemoval, Removal};

use crate::{
    repo::retention::{Scope, Settings},
    storage::Storage,
    types::StanzaName,
};

type Result<T> = std::result::Result<T, Error>;

/// The repository to expire in, and the rules.
#[derive(Clone, Debug)]
pub struct ExpireOptions {
    /// The repository.
    pub storage: Arc<dyn Storage>,
    /// The stanza.
    pub stanza: StanzaName,
    /// The retention of the repository.
    pub settings: Settings,
    /// Retention, or what was named.
    pub scope: Scope,
}
