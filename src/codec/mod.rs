//! Digest, compression and encryption: pure transforms of bytes, no I/O of their own.
//!
//! Data is stored as a sequence of *frames*: ranges of raw bytes, each compressed independently, so that frames can be
//! processed in parallel and read one by one. [`Compressor`] makes a frame, [`Decompressor`] decompresses one whose raw
//! length is known, [`FrameReader`] streams through consecutive frames, and [`FrameSplitter`] separates them for several
//! threads. Damaged or hostile input is an error, never a panic, and never makes them allocate more than the raw size that
//! the caller expects.

mod compress;
mod decompress;
mod digest;
pub mod encrypt;
mod error;
mod frame_reader;
mod frame_splitter;

pub use compress::Compressor;
pub use decompress::Decompressor;
pub use digest::{BlockHasher, Sha256Hasher};
pub use error::Error;
pub use frame_reader::FrameReader;
pub use frame_splitter::{FrameBuffer, FrameSplitter};

pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests;
