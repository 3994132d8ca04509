//! The backup engine: a source's files are cut into blocks, packed into frames and bundles, and
//! described by a manifest.

mod error;
pub mod source;

pub use error::Error;
