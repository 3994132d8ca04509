//! The backup engine: a source's files are cut into blocks, packed into frames, compressed by worker
//! threads, and written in order into bundles with a block map for each file and a file list.
//!
//! ```text
//! source -> packer -> workers (check, digest, compare, compress) -> writer -> bundles, maps, file list
//! ```
//!
//! With a prior backup the workers compare the digest of each block with what that backup has at its
//! place. Blocks that it has become references to it; the others are gathered in frames of their own.
//!
//! Every queue between the stages is bounded: memory does not grow with the database.

mod crc;
mod error;
pub mod frame;
mod gather;
mod landmarks;
mod packer;
mod pending;
mod pipeline;
pub mod prior;
mod read;
pub mod source;
#[cfg(test)]
mod tests;
mod workers;
mod writer;

pub use error::Error;
pub(crate) use error::UNSEEN_HINT;
pub use frame::BLOCK_SIZE;
pub use landmarks::Landmarks;
pub use pipeline::{Options, Taken, Target, take};
