//! Page checksums: which files have them, and which pages of a run are damaged.

use super::{
    page_sum::{ROW_BYTES, sum},
    relation_file::RelationFile,
    u16_at, u32_at,
};
use crate::types::{DataPath, Lsn};

/// Size of a segment file of a relation (`RELSEG_SIZE` pages). Larger relations continue in further files.
pub const RELATION_SEGMENT_BYTES: u32 = 1 << 30;

/// Size of the page header (`SizeOfPageHeaderData`).
const HEADER_BYTES: usize = 24;
const CHECKSUM_AT: usize = 8;

/// Maximum amount of WAL during a backup (16 TiB). If the LSN of a page with a wrong checksum is further ahead, the
/// page header is damaged: the page was not written during the backup.
const WAL_DURING_BACKUP_MAX: u64 = 1 << 44;

/// The expected checksum of a page (`pg_checksum_page`). `block` is counted from the start of the relation fork, not
/// of the file. The page size is a multiple of 128 bytes.
pub fn page_checksum(page: &[u8], block: u32) -> Option<u16> {
    let (first, rows) = page.split_first_chunk::<ROW_BYTES>()?;
    let mut first = *first;
    first[CHECKSUM_AT..CHECKSUM_AT + 2].fill(0);
    Some(((sum(&first, rows) ^ block) % 65_535 + 1) as u16)
}

/// The block numbers of damaged pages in a run that starts at block `first_block` of its relation fork. `start` is the
/// start position of the backup.
///
/// PostgreSQL's rules: a zero page was added and never written. A page that changed since the start may be torn (read
/// while the server wrote it), and WAL replay restores it. In addition, a new page that is not zero is damaged, as for
/// the server itself, and so is a page with an LSN far in the future. A torn page with the old page header looks
/// damaged: the caller has to read it again before it reports damage. A partial page at the end is ignored.
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

/// The number of the segment file in its relation fork, if its pages have checksums; `None` for any file that is not
/// of a relation. The first block of segment `n` is `n` times the pages per segment.
pub fn is_checked_file(path: &DataPath) -> Option<u32> {
    RelationFile::parse(path).map(|file| file.segment)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Block 3 of pg_class, written by initdb of 15.
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
