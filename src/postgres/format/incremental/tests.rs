use proptest::prelude::*;

use super::*;

const PAGE: u32 = 8192;
const PAGES_MAX: u32 = RELATION_SEGMENT_BYTES / PAGE;

/// A header as `sendFile` writes it, padding included.
fn encoded(changed: &[u32], truncation: u32) -> Vec<u8> {
    let numbers = [MAGIC, changed.len() as u32, truncation];
    let all = numbers.iter().chain(changed);
    let mut bytes: Vec<u8> = all.flat_map(|number| number.to_le_bytes()).collect();
    if !changed.is_empty() {
        bytes.resize(bytes.len().next_multiple_of(PAGE as usize), 0);
    }
    bytes
}

fn size(header: &[u8], changed: usize) -> u64 {
    (header.len() + changed * PAGE as usize) as u64
}

/// Reads a header in chunks of `step` bytes; with it what was left of the bytes.
fn read(bytes: &[u8], file_size: u64, step: usize) -> Result<Option<(IncrementalHeader, usize)>> {
    let mut reader = IncrementalHeaderReader::new(file_size, PAGE);
    for (at, chunk) in bytes.chunks(step.max(1)).enumerate() {
        let mut chunk = Bytes::copy_from_slice(chunk);
        if let Some(header) = reader.take(&mut chunk)? {
            let used = (at + 1) * step.max(1);
            return Ok(Some((header, bytes.len().saturating_sub(used) + chunk.len())));
        }
    }
    Ok(None)
}

fn parsed(changed: &[u32], truncation: u32) -> IncrementalHeader {
    let bytes = encoded(changed, truncation);
    read(&bytes, size(&bytes, changed.len()), 1 << 20).unwrap().unwrap().0
}

fn runs(changed: &[u32], truncation: u32, prior: u64) -> Vec<PageRun> {
    parsed(changed, truncation).runs(prior).collect()
}

#[test]
fn names() {
    let target = |path: &str| {
        let found = incremental_target(&DataPath::new(path.as_bytes()).unwrap());
        found.map(|path| path.to_string())
    };
    for (path, expected) in [
        ("base/5/INCREMENTAL.16384", "base/5/16384"),
        ("base/5/INCREMENTAL.16384.1", "base/5/16384.1"),
        ("base/5/INCREMENTAL.16384_vm", "base/5/16384_vm"),
        ("global/INCREMENTAL.1262", "global/1262"),
        (
            "pg_tblspc/16401/PG_17_202406281/5/INCREMENTAL.16402.3",
            "pg_tblspc/16401/PG_17_202406281/5/16402.3",
        ),
    ] {
        assert_eq!(target(path).as_deref(), Some(expected), "{path}");
    }
    for path in ["base/5/16384", "INCREMENTAL.16384", "base/5/INCREMENTAL.x", "base/INCREMENTAL.5"]
    {
        assert_eq!(target(path), None, "{path}");
    }
}

#[test]
fn a_file_that_did_not_change_is_a_header_alone() {
    let bytes = encoded(&[], 7);
    assert_eq!(bytes.len(), 12);
    assert_eq!(runs(&[], 7, 7), [PageRun::Unchanged(7)]);
    assert_eq!(runs(&[], 7, 9), [PageRun::Unchanged(7)]);
    assert_eq!(runs(&[], 0, 9), []);
}

#[test]
fn pages_that_nobody_has_are_zero() {
    assert_eq!(runs(&[], 7, 4), [PageRun::Unchanged(4), PageRun::Zero(3)]);
    assert_eq!(
        runs(&[1, 2, 8], 4, 3),
        [PageRun::Unchanged(1), PageRun::Changed(2), PageRun::Zero(5), PageRun::Changed(1)]
    );
    // Truncated to two pages, then extended: what the prior backup has there is gone.
    assert_eq!(
        runs(&[0, 5], 2, 100),
        [PageRun::Changed(1), PageRun::Unchanged(1), PageRun::Zero(3), PageRun::Changed(1)]
    );
}

#[test]
fn the_last_page_of_a_full_file() {
    let last = PAGES_MAX - 1;
    assert_eq!(runs(&[last], PAGES_MAX, u64::MAX), [PageRun::Unchanged(last), PageRun::Changed(1)]);
}

#[test]
fn what_is_not_such_a_file_is_refused() {
    let good = encoded(&[1, 3], 4);
    let file_size = size(&good, 2);
    assert!(read(&good, file_size + 1, 512).is_err());
    assert!(read(&good, file_size - u64::from(PAGE), 512).is_err());
    let with = |at: usize, number: u32| {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        read(&bytes, file_size, 512)
    };
    for (at, number) in
        [(0, 1), (4, u32::MAX), (8, PAGES_MAX + 1), (12, 3), (12, 9), (16, PAGES_MAX)]
    {
        assert!(with(at, number).is_err(), "{number} at {at}");
    }
    assert!(with(8, PAGES_MAX).is_ok());
    assert!(read(&encoded(&[], PAGES_MAX + 1), 12, 5).is_err());
}

#[test]
fn a_count_is_bounded_before_memory_is_taken() {
    let bytes: Vec<u8> =
        [MAGIC, PAGES_MAX, 1].iter().flat_map(|number| number.to_le_bytes()).collect();
    let mut reader = IncrementalHeaderReader::new(u64::MAX, PAGE);
    assert!(reader.take(&mut Bytes::from(bytes)).is_err());
    assert!(reader.numbers.capacity() < 64);
}

proptest! {
    #[test]
    fn stretches_are_the_file(
        changed in proptest::collection::btree_set(0_u32..300, 0..40),
        truncation in 0_u32..300,
        prior in 0_u64..300,
        step in 1_usize..20_000,
    ) {
        let changed: Vec<u32> = changed.into_iter().collect();
        let mut bytes = encoded(&changed, truncation);
        let file_size = size(&bytes, changed.len());
        bytes.extend([7; 100]);
        let (header, left) = read(&bytes, file_size, step).unwrap().unwrap();
        prop_assert_eq!(left, 100);
        let pages = header.pages();
        prop_assert_eq!(pages, truncation.max(changed.last().map_or(0, |p| p + 1)));
        let unchanged = header.unchanged_pages(prior);
        let mut page = 0;
        let mut found = 0;
        let mut before = None;
        for run in header.runs(prior) {
            let (length, kind) = match run {
                PageRun::Unchanged(n) => (n, 0),
                PageRun::Changed(n) => (n, 1),
                PageRun::Zero(n) => (n, 2),
            };
            prop_assert!(length > 0 && before != Some(kind), "{run:?} is not as long as can be");
            before = Some(kind);
            for at in page..page + length {
                let expected = match () {
                    () if changed.contains(&at) => 1,
                    () if at < truncation && u64::from(at) < prior => 0,
                    () => 2,
                };
                prop_assert_eq!(kind, expected, "page {}", at);
                found += u32::from(kind == 0);
            }
            page += length;
        }
        prop_assert_eq!((page, found), (pages, unchanged));
    }

    #[test]
    fn never_panics(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        file_size: u64,
        page_size in 0_u32..70_000,
        with_magic: bool,
    ) {
        let mut bytes = bytes;
        if with_magic && bytes.len() >= 12 {
            bytes[..4].copy_from_slice(&MAGIC.to_le_bytes());
            bytes[5..8].fill(0);
        }
        let mut reader = IncrementalHeaderReader::new(file_size, page_size);
        for chunk in bytes.chunks(7) {
            if reader.take(&mut Bytes::copy_from_slice(chunk)).is_err() {
                break;
            }
        }
    }
}
