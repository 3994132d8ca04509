//! Digest, compression and encryption: pure transforms of bytes, no I/O of their own.
//!
//! Everything stored is a sequence of *frames*: pieces of raw bytes, each compressed by itself, so
//! that pieces can be worked on in parallel and read back alone. [`Compressor`] makes a frame,
//! [`Decompressor`] undoes one whose raw length is known, [`FrameReader`] streams through frames that
//! follow each other, and [`PieceReader`] cuts them apart for several threads. Damaged or hostile
//! input is an error, never a panic, and never makes them allocate more than the caller said the raw
//! bytes take.

mod compress;
mod decompress;
mod digest;
pub mod encrypt;
mod error;
mod frame_reader;
mod pieces;

pub use compress::Compressor;
pub use decompress::Decompressor;
pub use digest::{BlockHasher, Sha256Hasher};
pub use error::Error;
pub use frame_reader::FrameReader;
pub use pieces::{Piece, PieceReader};

/// The result of a transform.
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests;
