//! Paths, object formats and locks of a repository. Formats live here and nowhere else; `docs/repository-format.md`
//! specifies them to the byte.

mod error;

pub mod annotation;
pub mod archive;
pub mod backup_list;
pub mod block_map;
pub mod bundle;
pub mod changes;
pub mod contents;
pub mod encrypted;
pub mod file_list;
pub mod foreign;
pub mod keep;
pub mod layout;
pub mod limits;
pub mod lock;
pub mod manifest;
pub mod map_reader;
pub mod metadata;
pub mod object_header;
pub mod object_record;
pub mod object_writer;
pub mod ownership;
pub mod pg_manifest;
pub mod plain;
pub mod publication;
pub mod recipient;
pub mod retention;
pub mod stanza;
pub mod started;
#[cfg(test)]
mod test_vectors;
#[cfg(test)]
pub(crate) mod testing;
mod varint;
pub mod wal_needed;
mod wal_span;
pub mod writer;

pub use error::{Error, WalFault};

/// Concurrent small requests to a store: with a latency of 20 ms they are 1,500 per second.
pub const REQUESTS_AT_ONCE: usize = 32;
