//! Reads the deferred bytes of pieces into their frame.

use super::frame::Piece;
use crate::backup::Error;

/// Fills the piece's place in the frame, where its bytes are not there yet.
pub(super) fn fill(piece: &Piece, raw: &mut [u8]) -> Result<(), Error> {
    match &piece.unread {
        Some(file) => file.read_at(piece.file_offset(), piece.of_mut(raw)),
        None => Ok(()),
    }
}

/// Reads `len` bytes at `at` of the piece once more. They take the place of those before if `is_whole`
/// says so; says whether they did. Bytes that did not come from a file cannot be read again.
pub(super) fn again(
    piece: &Piece,
    raw: &mut [u8],
    at: u32,
    len: u32,
    is_whole: impl Fn(&[u8]) -> bool,
) -> Result<bool, Error> {
    let Some(file) = &piece.unread else { return Ok(false) };
    let mut bytes = vec![0; len as usize];
    file.read_at(piece.file_offset() + u64::from(at), &mut bytes)?;
    let whole = is_whole(&bytes);
    if whole {
        piece.of_mut(raw)[at as usize..][..bytes.len()].copy_from_slice(&bytes);
    }
    Ok(whole)
}
