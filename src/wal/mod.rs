//! WAL files on their way into the archive and out of it.
//!
//! [`Pushing`] answers PostgreSQL's `archive_command` and [`get`] its `restore_command`. Both are one
//! process per file, so they start no server connection and touch no file more than they must.
//! [`verify()`] reads what [`get`] would deliver, for nothing but the proof.

mod error;
mod get;
mod push;
mod segment;
mod verify;

pub use error::Error;
pub use get::{GetOptions, GetOutcome, deliver, get};
pub use push::{PushOptions, PushOutcome, Pushing};
pub use segment::ClusterIdentity;
pub use verify::{verify, verify_from};

#[cfg(test)]
mod tests;
