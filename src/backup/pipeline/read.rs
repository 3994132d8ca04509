//! Reads the deferred bytes of chunks into their frame.

use super::frame::FileChunk;
use crate::backup::Error;

/// Fills the chunk's place in the frame, where its bytes are not there yet.
pub(super) fn fill(chunk: &FileChunk, raw: &mut [u8]) -> Result<(), Error> {
    match &chunk.unread {
        Some(file) => file.read_at(chunk.file_offset(), chunk.of_mut(raw)),
        None => Ok(()),
    }
}

/// Reads `len` bytes at `at` of the chunk once more. They take the place of those before if `is_whole`
/// says so; says whether they did. Bytes that did not come from a file cannot be read again.
pub(super) fn again(
    chunk: &FileChunk,
    raw: &mut [u8],
    at: u32,
    len: u32,
    is_whole: impl Fn(&[u8]) -> bool,
) -> Result<bool, Error> {
    let Some(file) = &chunk.unread else { return Ok(false) };
    let mut bytes = vec![0; len as usize];
    file.read_at(chunk.file_offset() + u64::from(at), &mut bytes)?;
    let whole = is_whole(&bytes);
    if whole {
        chunk.of_mut(raw)[at as usize..][..bytes.len()].copy_from_slice(&bytes);
    }
    Ok(whole)
}
