//! Data pages: which files have checksummed ones, and which pages of a run are damaged.

use super::{
    page_sum::{ROW_BYTES, sum},
    relation_file::RelationFile,
    u16_at, u32_at,
};
use crate::types::{DataPath, Lsn};

/// The size of a segment of a relation (`RELSEG_SIZE` pages): larger relations continue in further files.
pub const RELATION_SEGMENT_BYTES: u32 = 1 << 30;

/// Bytes of a page before the line pointers.
const HEADER_BYTES: usize = 24;
const CHECKSUM_AT: usize = 8;

/// No backup lasts for more WAL than this (16 TiB). A page that claims a later position, and whose
/// checksum is wrong, was not written while the backup ran: its header is what is damaged.
const WAL_DURING_BACKUP_MAX: u64 = 1 << 44;

/// The checksum that a page should carry (`pg_checksum_page`). `block` counts from the start of the
/// whole relation fork, not of the file. The page's size is a multiple of 128 bytes.
pub fn page_checksum(page: &[u8], block: u32) -> Option<u16> {
    let (first, rows) = page.split_first_chunk::<ROW_BYTES>()?;
    let mut first = *first;
    first[CHECKSUM_AT..CHECKSUM_AT + 2].fill(0);
    Some(((sum(&first, rows) ^ block) % 65_535 + 1) as u16)
}

/// The damaged pages of a run that starts at block `first_block` of its relation fork, as block
/// numbers. `start` is where the backup began.
///
/// PostgreSQL's own rules: a page of zeros is one that was added and never written; a page that
/// changed since the start can have been read half old and half new, and WAL replay restores it.
/// Beyond them, a new page that is not zero is damaged, as it is when the server reads it, and so is
/// one that claims to come from a far future. A torn page whose old half was read first looks
/// damaged: read it once more before it is called so. A partial page at the end is not looked at.
pub fn check_pages(raw: &[u8], page_size: u32, first_block: u32, start: Lsn) -> Vec<u32> {
    let pages = raw.chunks_exact((page_size as usize).max(1));
    let numbered = pages.zip(first_block..);
    numbered
        .filter(|(page, block)| is_damaged(page, *block, start))
        .map(|(_, block)| block)
        .collect()
}

fn is_damaged(page: &[u8], block: u32, start: Lsn) -> bool {
    if page.len() < HEADER_BYTES {
        return true;
    }
    if u16_at(page, 14) == Some(0) && is_zero(page) {
        return false;
    }
    let is_new = u16_at(page, 14) == Some(0);
    let intact = !is_new && u16_at(page, CHECKSUM_AT) == page_checksum(page, block);
    !intact && !may_be_torn(page, start)
}

/// Whether the page changed since the start of the backup.
fn may_be_torn(page: &[u8], start: Lsn) -> bool {
    let high = u64::from(u32_at(page, 0).unwrap_or_default());
    let low = u64::from(u32_at(page, 4).unwrap_or_default());
    let lsn = high << 32 | low;
    lsn >= start.0 && lsn - start.0 <= WAL_DURING_BACKUP_MAX
}

fn is_zero(page: &[u8]) -> bool {
    let (words, rest) = page.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|&b| b == 0)
}

/// The number of the segment (1 GiB file) of its relation fork that a file is, where its pages carry
/// checksums: `None` for everything that is not a relation. The first block of segment `n` is `n`
/// times the pages of a segment.
pub fn is_checked_file(path: &DataPath) -> Option<u32> {
    RelationFile::parse(path).map(|file| file.segment)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Block 3 of pg_class as initdb of 15 wrote it.
    const PAGE: &[u8] = include_bytes!("../../../fixtures/postgres/page-15-block-3");
    const LATE: Lsn = Lsn(u64::MAX);

    #[test]
    fn a_real_page_is_intact_at_its_place_only() {
        assert!(check_pages(PAGE, 8192, 3, LATE).is_empty());
        assert_eq!(check_pages(PAGE, 8192, 4, LATE), [4]);
    }

    #[test]
    fn any_flipped_bit_is_found() {
        for at in 0..PAGE.len() {
            let mut damaged = PAGE.to_vec();
            damaged[at] ^= 1 << (at % 8);
            assert_eq!(check_pages(&damaged, 8192, 3, LATE), [3], "byte {at}");
        }
    }

    #[test]
    fn zero_pages_are_intact_and_nearly_zero_ones_not() {
        let mut pages = vec![0; 3 * 8192];
        assert!(check_pages(&pages, 8192, 0, LATE).is_empty());
        pages[8192 + 8191] = 1;
        assert_eq!(check_pages(&pages, 8192, 0, LATE), [1]);
    }

    #[test]
    fn a_page_that_changed_since_the_start_may_be_torn() {
        let mut damaged = PAGE.to_vec();
        damaged[8000] ^= 1;
        let lsn = u64::from(u32_at(PAGE, 4).unwrap());
        assert!(check_pages(&damaged, 8192, 3, Lsn(lsn)).is_empty());
        assert_eq!(check_pages(&damaged, 8192, 3, Lsn(lsn + 1)), [3]);
        damaged[0..4].copy_from_slice(&[0xFF; 4]);
        assert_eq!(check_pages(&damaged, 8192, 3, Lsn(lsn)), [3]);
    }

    #[test]
    fn relations_only() {
        let segment = |path: &str| is_checked_file(&DataPath::new(path.as_bytes()).unwrap());
        for (path, expected) in [
            ("base/5/16384", 0),
            ("base/5/16384.12", 12),
            ("base/5/16384_vm", 0),
            ("base/5/16384_fsm.1", 1),
            ("base/5/16384_init", 0),
            ("global/1262", 0),
            ("pg_tblspc/16401/PG_15_202209061/5/16402.3", 3),
        ] {
            assert_eq!(segment(path), Some(expected), "{path}");
        }
        for path in [
            "global/pg_control",
            "global/pg_filenode.map",
            "global/pg_internal.init",
            "base/5/PG_VERSION",
            "base/5/t3_16384",
            "base/5/16384_x",
            "base/5/16384.x",
            "base/5/16384.99999999999",
            "base/pgsql_tmp/1",
            "pg_xact/0000",
            "pg_tblspc/16401/PG_15_202209061/5/PG_VERSION",
            "16384",
        ] {
            assert_eq!(segment(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(
            raw in proptest::collection::vec(any::<u8>(), 0..300),
            size in 0_u32..300,
            block: u32,
            start: u64,
        ) {
            check_pages(&raw, size, block, Lsn(start));
        }
    }
}
