//! The sizes of an encrypted object. Converts plain sizes to stored sizes and back by arithmetic alone, so that a listing can show plain sizes.

use std::ops::Range;

/// Bytes of the header of an encrypted object.
pub const HEADER_LEN: usize = 56;
/// Plain bytes of a chunk; the last one may have fewer.
pub const CHUNK_LEN: usize = 64 << 10;
/// Bytes of a chunk's authentication tag.
pub const TAG_LEN: usize = 16;
/// Stored bytes of a full chunk.
pub const SEALED_LEN: usize = CHUNK_LEN + TAG_LEN;

const HEADER: u64 = HEADER_LEN as u64;
const CHUNK: u64 = CHUNK_LEN as u64;
const SEALED: u64 = SEALED_LEN as u64;
const TAG: u64 = TAG_LEN as u64;

/// The number of chunks of an object; an empty object has one empty chunk, whose tag proves that nothing is missing.
pub const fn chunk_count(plain: u64) -> u64 {
    let count = plain.div_ceil(CHUNK);
    if count == 0 { 1 } else { count }
}

/// Saturates: no store accepts an object that large.
pub const fn stored_size(plain: u64) -> u64 {
    plain.saturating_add(HEADER + TAG * chunk_count(plain))
}

/// `None` if no encrypted object has that stored size.
pub fn plain_size(stored: u64) -> Option<u64> {
    let plain = plain_size_at_most(stored);
    (stored_size(plain) == stored).then_some(plain)
}

/// An upper bound of the plain size; exact if the object is not truncated.
pub const fn plain_size_at_most(stored: u64) -> u64 {
    let body = stored.saturating_sub(HEADER);
    body.saturating_sub(TAG * body.div_ceil(SEALED))
}

/// The range of an object that holds the chunks with these numbers, if the last one is full.
pub const fn sealed_range(chunks: Range<u64>) -> Range<u64> {
    HEADER + chunks.start * SEALED..HEADER + chunks.end * SEALED
}
