//! The stages of a backup, from the events of a source to bundles, block maps and the file list.
//!
//! ```text
//! source -> packer -> workers (check, digest, compare, compress) -> writer -> bundles, maps, file list
//! ```
//!
//! Files are cut into blocks, blocks packed into frames. With a prior backup the workers compare the digest of each block
//! with what that backup has at its place. Blocks that it has become references to it; the others are gathered in frames
//! of their own.
//!
//! Every queue between the stages is bounded: memory does not grow with the database.

mod crc;
pub mod frame;
mod gather;
mod packer;
mod pending_file;
pub mod prior;
mod read;
mod run;
mod workers;
mod writer;

pub use run::{PipelineOptions, PipelineOutput, PipelineTarget, run};

/// The size of a block in bytes, the unit in which changes are found and data is verified: a PostgreSQL page.
pub const BLOCK_SIZE: u32 = 8192;
