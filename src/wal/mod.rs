//! Pushes WAL files to the archive and gets them from it.
//!
//! [`Pushing`] implements PostgreSQL's `archive_command` and [`get`] its `restore_command`. Both are one process per
//! file, so they open no connection to the server and as few files as possible. [`verify()`] checks a file that
//! [`get`] would deliver.

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
