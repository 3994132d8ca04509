//! The only module that starts threads and tasks: a bounded pool of worker threads, a bounded concurrent map over tasks,
//! a single background task, and blocking work outside of the runtime's thread.
//!
//! All of them report and end in the same way. A panic is an [`Error`] for the caller that awaits the result. Dropping
//! cancels: waiting jobs are not started, tasks are aborted.

mod blocking;
mod error;
mod map;
mod pool;
mod task;
mod watched;

pub use blocking::blocking;
pub use error::Error;
pub use map::{map, map_watched, try_map};
pub use pool::{Giver, Pool, Promised};
pub use task::Task;
pub use watched::watched;

/// The result of work that may fail to be done at all.
pub type Result<T> = std::result::Result<T, Error>;
