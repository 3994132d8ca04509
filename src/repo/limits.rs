//! Bounds on the metadata of a backup. A reader spends no memory and no time on a number that an object
//! declares before it is known to be possible: by the manifest's totals, by the bytes that were read, and by
//! these constants. A writer keeps to the same bounds, so that all that was written can be read.

use super::{Error, block_map::FRAME_RAW_MAX, manifest::Totals};

/// The largest block map that is written or read, in bytes: enough for a file of 800 GiB.
pub const MAP_LEN_MAX: u64 = 1 << 30;
/// The largest stored frame, in bytes.
pub const FRAME_STORED_MAX: usize = 2 * FRAME_RAW_MAX;
/// The most symbolic links in a file list. PostgreSQL makes one for each tablespace.
pub const LINKS_MAX: u64 = 16_384;

/// The largest stored file list or `backup_manifest`, in bytes, however many files there are.
const STORED_MAX: u64 = 2 << 30;
/// Allowed without regard to the number of files, in bytes.
const FIXED: u64 = 16 << 20;
/// Stored or raw bytes allowed for each file: a path has at most 4096 bytes, written with three characters each.
const EACH_FILE: u64 = 16 << 10;
/// Raw bytes that a stored byte may become. Paths of the greatest length that differ in one character come close.
const RAW_FOR_STORED: u64 = 4096;
/// Lines that a stored byte may become, beside [`LINES_FIXED`]. No two lines are alike, so each takes a few bytes.
const LINES_FOR_STORED: u64 = 4;
const LINES_FIXED: u64 = 65_536;

/// The largest stored size that the file list or `backup_manifest` of a backup with these totals can have.
pub(super) fn stored_max(totals: &Totals) -> u64 {
    EACH_FILE.saturating_mul(totals.files).saturating_add(FIXED).min(STORED_MAX)
}

/// The largest raw size of a `backup_manifest` of `stored` bytes.
pub(super) fn raw_max(totals: &Totals, stored: u64) -> u64 {
    let by_files = EACH_FILE.saturating_mul(totals.files).saturating_add(FIXED);
    by_files.min(raw_of_stored_max(stored)).min(STORED_MAX)
}

/// The most raw bytes of a compressed stream of `stored` bytes.
pub(super) fn raw_of_stored_max(stored: u64) -> u64 {
    RAW_FOR_STORED.saturating_mul(stored).saturating_add(FIXED)
}

/// The most lines of a file list of `stored` bytes.
pub(super) fn lines_max(stored: u64) -> u64 {
    LINES_FOR_STORED.saturating_mul(stored).saturating_add(LINES_FIXED)
}

/// The largest map, or patch, of a file: at most a frame, a run and a digest for each block.
pub(super) fn map_len_max(file_size: u64, block_size: u32) -> u64 {
    const EACH_BLOCK: u64 = 30 + 20 + 10;
    const COUNTS: u64 = 20;
    let blocks = file_size.div_ceil(u64::from(block_size));
    EACH_BLOCK.saturating_mul(blocks).saturating_add(COUNTS).min(MAP_LEN_MAX)
}

/// Refuses a size that an object declares and cannot have.
pub(super) fn check(object: &str, what: &str, size: u64, max: u64) -> Result<(), Error> {
    match size <= max {
        true => Ok(()),
        false => {
            Err(Error::format(object, format!("{what} is {size}, and cannot be more than {max}")))
        }
    }
}
