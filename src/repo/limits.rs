//! Bounds on the metadata of a backup. A reader checks a size or count that an object declares against the manifest's
//! totals, the bytes that were read and these constants before it spends memory or time on it: an object may be damaged
//! or hostile. A writer keeps to the same bounds, so everything that was written can be read.

use super::Error;

/// The largest frame of file data, in raw bytes.
pub const FRAME_RAW_MAX: usize = 1 << 20;

/// The largest block map in bytes: enough for a file of 800 GiB.
pub const MAP_LEN_MAX: u64 = 1 << 30;
/// The largest stored frame, in bytes.
pub const FRAME_STORED_MAX: usize = 2 * FRAME_RAW_MAX;
/// Symbolic links in a file list. PostgreSQL creates one per tablespace.
pub const LINKS_MAX: u64 = 16_384;

/// The largest stored file list or `backup_manifest` in bytes, however many files there are.
const STORED_MAX: u64 = 2 << 30;
/// Bytes allowed in addition to [`BYTES_PER_FILE`].
const FIXED: u64 = 16 << 20;
/// Stored or raw bytes allowed per file: a path has at most 4096 bytes, each written as up to three characters.
const BYTES_PER_FILE: u64 = 16 << 10;
/// Raw bytes allowed per stored byte. Paths of the greatest length that differ in one character come close.
const RAW_PER_STORED: u64 = 4096;
/// Lines allowed per stored byte, in addition to [`LINES_FIXED`]. No two lines are equal, so each takes a few bytes.
const LINES_PER_STORED: u64 = 4;
const LINES_FIXED: u64 = 65_536;

/// The largest stored file list or `backup_manifest` of a backup with `files` files, in bytes.
pub(super) fn stored_max(files: u64) -> u64 {
    BYTES_PER_FILE.saturating_mul(files).saturating_add(FIXED).min(STORED_MAX)
}

/// The largest raw `backup_manifest` of a backup with `files` files, of which `stored` bytes are stored.
pub(super) fn raw_max(files: u64, stored: u64) -> u64 {
    let by_files = BYTES_PER_FILE.saturating_mul(files).saturating_add(FIXED);
    by_files.min(raw_of_stored_max(stored)).min(STORED_MAX)
}

/// The most raw bytes in a compressed stream of `stored` bytes.
fn raw_of_stored_max(stored: u64) -> u64 {
    RAW_PER_STORED.saturating_mul(stored).saturating_add(FIXED)
}

/// The most raw bytes in a file list of `stored` bytes that has `files` files and `bundles` bundles.
pub(super) fn list_raw_max(files: u64, bundles: u64, stored: u64) -> u64 {
    let lines = files.saturating_add(bundles);
    let by_lines = BYTES_PER_FILE.saturating_mul(lines).saturating_add(FIXED);
    by_lines.min(raw_of_stored_max(stored))
}

/// The most lines in a file list of `stored` bytes.
pub(super) fn lines_max(stored: u64) -> u64 {
    LINES_PER_STORED.saturating_mul(stored).saturating_add(LINES_FIXED)
}

/// The largest block map or patch of a file in bytes: at most a frame, a run and a digest per block.
pub(super) fn map_len_max(file_size: u64, block_size: u32) -> u64 {
    const BYTES_PER_BLOCK: u64 = 30 + 20 + 10;
    const COUNTS: u64 = 20;
    let blocks = file_size.div_ceil(u64::from(block_size));
    BYTES_PER_BLOCK.saturating_mul(blocks).saturating_add(COUNTS).min(MAP_LEN_MAX)
}

/// An error if `size`, which `object` declares, exceeds `max`.
pub(super) fn check(object: &str, what: &str, size: u64, max: u64) -> Result<(), Error> {
    if size <= max {
        Ok(())
    } else {
        Err(Error::format(object, format!("{what} is {size}, and cannot be more than {max}")))
    }
}
