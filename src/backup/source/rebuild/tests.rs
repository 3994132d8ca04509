use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{super::PriorFile, *};
use crate::types::DataPath;

const PAGE: usize = 8192;

#[derive(Debug)]
struct Prior(BTreeMap<DataPath, u64>);

impl PriorFiles for Prior {
    fn file(&self, path: &DataPath) -> Option<PriorFile> {
        self.0.get(path).map(|size| PriorFile { size: *size, modified: 0 })
    }
}

fn path() -> DataPath {
    DataPath::new(b"base/5/16384").unwrap()
}

fn header(size: u64) -> FileHeader {
    let kind = FileKind::File { size, unchanged: 0 };
    FileHeader { path: path(), kind, mode: 0o600, modified: 1, uid: 2, gid: 3, link: None }
}

/// An incremental file with pages that are full of their own number.
fn incremental(changed: &[u32], truncation: u32) -> Vec<u8> {
    let numbers = [0xd3ae_1f0d, changed.len() as u32, truncation];
    let all = numbers.iter().chain(changed);
    let mut bytes: Vec<u8> = all.flat_map(|number| number.to_le_bytes()).collect();
    if !changed.is_empty() {
        bytes.resize(bytes.len().next_multiple_of(PAGE), 0);
    }
    for page in changed {
        bytes.extend(vec![0x80 | *page as u8; PAGE]);
    }
    bytes
}

fn rebuild(file: &[u8], prior_size: u64, step: usize) -> Result<Vec<SourceEvent>> {
    let prior = Prior([(path(), prior_size)].into());
    let mut ready = VecDeque::new();
    let mut rebuild = Rebuild::new(header(file.len() as u64), PAGE as u32, &prior)?;
    for chunk in file.chunks(step) {
        rebuild.push(Bytes::copy_from_slice(chunk), &mut ready)?;
    }
    rebuild.end(&mut ready)?;
    Ok(ready.into())
}

/// The file that the events make of the prior one.
fn applied(events: &[SourceEvent], prior: &[u8]) -> (u64, u64, Vec<u8>) {
    let mut file = Vec::new();
    let mut announced = None;
    let mut unchanged_seen = 0;
    for event in events {
        match event {
            SourceEvent::Begin(header) => {
                assert_eq!(
                    (header.mode, header.modified, header.uid, header.gid),
                    (0o600, 1, 2, 3)
                );
                announced = Some(header.kind.clone());
            }
            SourceEvent::Bytes(bytes) => file.extend_from_slice(bytes),
            SourceEvent::Unchanged(length) => {
                unchanged_seen += length;
                file.extend_from_slice(&prior[file.len()..][..*length as usize]);
            }
            SourceEvent::End => {}
            other => panic!("not of a file from the server: {other:?}"),
        }
    }
    let Some(FileKind::File { size, unchanged }) = announced else { panic!("no begin") };
    assert_eq!((size, unchanged), (file.len() as u64, unchanged_seen));
    (size, unchanged, file)
}

#[test]
fn a_file_that_the_prior_backup_lacks_is_refused() {
    let error = Rebuild::new(header(12), PAGE as u32, &Prior(BTreeMap::new())).unwrap_err();
    assert!(error.is_about_incremental(), "{error}");
}

#[test]
fn a_file_that_ends_early_or_late_is_refused() {
    let whole = incremental(&[1, 4], 6);
    let prior = Prior([(path(), 6 * PAGE as u64)].into());
    for length in [0, 5, 12, 30, PAGE, PAGE + 1, whole.len() - 1] {
        let mut rebuild = Rebuild::new(header(whole.len() as u64), PAGE as u32, &prior).unwrap();
        let mut ready = VecDeque::new();
        rebuild.push(Bytes::copy_from_slice(&whole[..length]), &mut ready).unwrap();
        assert!(rebuild.end(&mut ready).unwrap_err().is_about_incremental(), "{length}");
    }
    let mut rebuild = Rebuild::new(header(whole.len() as u64), PAGE as u32, &prior).unwrap();
    let mut ready = VecDeque::new();
    rebuild.push(Bytes::from(whole), &mut ready).unwrap();
    assert!(rebuild.push(Bytes::from_static(b"x"), &mut ready).is_err());
}

#[test]
fn an_unchanged_file_is_one_event() {
    let events = rebuild(&incremental(&[], 3), 3 * PAGE as u64, 5).unwrap();
    assert_eq!(events[1..], [SourceEvent::Unchanged(3 * PAGE as u64), SourceEvent::End]);
}

proptest! {
    #[test]
    fn the_file_is_put_together(
        changed in proptest::collection::btree_set(0_u32..60, 0..20),
        truncation in 0_u32..60,
        prior_size in 0..60 * PAGE,
        step in 1_usize..40_000,
    ) {
        let changed: Vec<u32> = changed.into_iter().collect();
        let prior: Vec<u8> = (0..prior_size).map(|at| (at / PAGE + 1) as u8).collect();
        let events = rebuild(&incremental(&changed, truncation), prior_size as u64, step).unwrap();
        let (size, unchanged, file) = applied(&events, &prior);
        let pages = truncation.max(changed.last().map_or(0, |page| page + 1));
        prop_assert_eq!(size, u64::from(pages) * PAGE as u64);
        let mut kept = 0;
        for (page, bytes) in file.chunks(PAGE).enumerate() {
            let expected = match () {
                () if changed.contains(&(page as u32)) => 0x80 | page as u8,
                () if page < truncation as usize && (page + 1) * PAGE <= prior_size => page as u8 + 1,
                () => 0,
            };
            kept += u64::from(expected == page as u8 + 1) * PAGE as u64;
            prop_assert!(bytes.iter().all(|b| *b == expected), "page {page} is not {expected}");
        }
        prop_assert_eq!(kept, unchanged);
    }
}
