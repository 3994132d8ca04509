//! restore engine.

mod error;

pub use error::Error;
