//! The backup engine: plans, copies the files of a [`source`] through the [`pipeline`] into the repository, proves that the
//! WAL is in the archive, and publishes.
//!
//! ```text
//! plan -> BackupJob::begin -> take -> prepare -> publish
//! ```
//!
//! The files come from a `BackupSource`; all other questions to the cluster go to a [`ConnectedCluster`].

mod catalogs;
mod cluster;
mod error;
mod job;
mod lacking_wal;
mod landmarks;
mod options;
pub mod pipeline;
mod plan;
mod publish;
mod recheck;
pub mod source;
mod take;
#[cfg(test)]
mod tests;
mod wal_proof;
mod wal_tail;
mod wal_wait;

pub use cluster::{ClusterDetails, ConnectedCluster};
pub use error::Error;
pub(crate) use error::UNSEEN_HINT;
pub use job::BackupJob;
pub use lacking_wal::LackingWal;
pub use options::{BackupOptions, BackupTarget};
pub use pipeline::BLOCK_SIZE;
pub use plan::{BackupPlan, ChangeDetection, PriorBackup, plan};
pub use publish::{discard, prepare, publish};
pub use take::{TakenBackup, take};
pub(crate) use wal_tail::records_before;

type Result<T, E = Error> = std::result::Result<T, E>;
