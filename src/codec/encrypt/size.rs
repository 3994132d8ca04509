//! From plain sizes to stored sizes and back: arithmetic, so that a listing tells plain sizes.

use std::ops::Range;

use super::{
    header::HEADER_LEN,
    object::{CHUNK_LEN, SEALED_LEN, TAG_LEN},
};

const HEADER: u64 = HEADER_LEN as u64;
const CHUNK: u64 = CHUNK_LEN as u64;
const SEALED: u64 = SEALED_LEN as u64;
const TAG: u64 = TAG_LEN as u64;

/// How many chunks `plain` bytes take; an empty object has one, which is empty.
pub const fn chunk_count(plain: u64) -> u64 {
    let count = plain.div_ceil(CHUNK);
    if count == 0 { 1 } else { count }
}

/// The bytes that `plain` bytes take when they are encrypted. No store keeps objects large enough to overflow it.
pub const fn stored_size(plain: u64) -> u64 {
    plain.saturating_add(HEADER + TAG * chunk_count(plain))
}

/// The plain bytes in `stored` ones; `None` where no encrypted object has that size.
pub fn plain_size(stored: u64) -> Option<u64> {
    let plain = plain_size_at_most(stored);
    (stored_size(plain) == stored).then_some(plain)
}

/// The plain bytes that an object of `stored` bytes can hold at most. It is their number, where the object is whole.
pub const fn plain_size_at_most(stored: u64) -> u64 {
    let body = stored.saturating_sub(HEADER);
    body.saturating_sub(TAG * body.div_ceil(SEALED))
}

/// Where the chunks of that range of numbers are stored, the last one in full length.
pub const fn sealed_range(chunks: Range<u64>) -> Range<u64> {
    HEADER + chunks.start * SEALED..HEADER + chunks.end * SEALED
}
