//! The restore engine: choose a backup and a timeline, make a plan, execute it, write the recovery
//! settings. The plan is plain data, so it can be checked and shown before anything is touched.

mod archive;
mod branches;
mod choose;
mod error;
pub mod execute;
pub mod leftover;
pub mod plan;
mod prepare;
pub mod recovery;
mod window;

pub use branches::{Branch, COPY_HINT, in_archive as branches_in};
pub use choose::Request;
pub use error::Error;
pub use prepare::{PlanOptions, plan};
pub use window::{ArchiveWal, RecoveryWindow, UnusableHistory};

#[cfg(test)]
pub(crate) mod tests;
