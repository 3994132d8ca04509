//! Bytes that a source leaves to be read: they come back like bytes that it gives, with the checksums of
//! a backup_manifest, and a page that was torn when it was read is read again.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::{
    backup::source::{Deferred, FileBytes},
    postgres::BackupManifest,
};

/// Block 3 of a relation, as a server wrote it.
const PAGE: &[u8] = include_bytes!("../../../fixtures/postgres/page-15-block-3");
const PAGE_NUMBER: usize = 3;

/// A file in memory. The first reads find each page half written, its header damaged.
#[derive(Debug)]
struct MemoryFile {
    content: Vec<u8>,
    torn_reads: AtomicUsize,
}

impl FileBytes for MemoryFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        buffer.copy_from_slice(&self.content[offset as usize..][..buffer.len()]);
        let less = |left: usize| left.checked_sub(1);
        if self.torn_reads.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
            buffer
                .chunks_mut(8192)
                .flat_map(|page| page.iter_mut().take(4096))
                .for_each(|b| *b = 7);
        }
        Ok(())
    }
}

fn deferred(content: &[u8], torn_reads: usize) -> Arc<dyn FileBytes> {
    let torn_reads = AtomicUsize::new(torn_reads);
    Arc::new(MemoryFile { content: content.to_vec(), torn_reads })
}

/// A source that defers the bytes of every other file.
fn source(files: &[(String, Vec<u8>)], torn_reads: usize) -> SyntheticSource {
    let mut source = SyntheticSource::new(files, 10_000);
    let stop = source.events.pop_back();
    source.makes_manifest = false;
    let (mut events, mut number) = (VecDeque::new(), 0);
    let mut open = None;
    for event in source.events.drain(..) {
        match event {
            SourceEvent::Begin(header) => {
                let is_file = matches!(header.kind, FileKind::File { .. });
                number += usize::from(is_file);
                open = (is_file && number % 2 == 1).then(|| number - 1);
                events.push_back(SourceEvent::Begin(header));
                if let Some((_, content)) = open.map(|at| &files[at]) {
                    let file = deferred(content, torn_reads);
                    let chunks = content.chunks(1 << 20);
                    events.extend(chunks.map(|chunk| {
                        let (file, len) = (Arc::clone(&file), chunk.len() as u64);
                        SourceEvent::Deferred(Deferred { file, len })
                    }));
                }
            }
            SourceEvent::Bytes(_) if open.is_some() => {}
            other => events.push_back(other),
        }
    }
    events.push_back(SourceEvent::Settle);
    if let Some(SourceEvent::Stop(stop)) = stop {
        events.push_back(SourceEvent::Stop(BackupStop { backup_manifest: None, ..stop }));
    }
    source.events = events;
    source
}

#[tokio::test]
async fn deferred_bytes_come_back_and_are_in_the_manifest() {
    let frame = 1 << 20;
    let files = files_of(&[0, 3 * frame + 77, 5, 8192, 20_000, frame, 100, 100, 8191]);
    let taker = Taker::new();
    let taken = taker.take(source(&files, 0), CompressType::Zst).await.unwrap();
    let manifest = BackupManifest::parse(&taken.backup_manifest).unwrap();
    assert_eq!(taker.read_back(taken, CompressType::Zst).await, files);
    let listed: Vec<_> = manifest.files.iter().map(|f| (f.path.to_string(), f.crc32c)).collect();
    let expected = files.iter().map(|(path, c)| (path.clone(), Some(crc32c::crc32c(c))));
    assert_eq!(listed, expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn a_page_that_was_read_half_written_is_read_again() {
    let mut content = vec![0; PAGE_NUMBER * 8192];
    content.extend_from_slice(PAGE);
    let files = vec![("base/5/16384".to_owned(), content)];
    for (torn_reads, damaged) in [(0, false), (1, false), (9, true)] {
        let taker = Taker::new();
        let taken = taker.take(source(&files, torn_reads), CompressType::Zst).await.unwrap();
        assert_eq!(!taken.written.page_errors.is_empty(), damaged, "{torn_reads} torn reads");
        if !damaged {
            let back = taker.read_back(taken, CompressType::Zst).await;
            assert!(back[0].1[PAGE_NUMBER * 8192..] == *PAGE, "{torn_reads} torn reads");
        }
    }
}

#[tokio::test]
async fn a_file_that_is_half_deferred_is_an_error() {
    let files = files_of(&[20_000]);
    let mut source = source(&files, 0);
    let file = deferred(&files[0].1, 0);
    let at = source.events.iter().position(|e| matches!(e, SourceEvent::Deferred(_))).unwrap();
    source.events[at] = SourceEvent::Deferred(Deferred { file, len: 10_000 });
    source.events.insert(at + 1, SourceEvent::Bytes(Bytes::copy_from_slice(&[1; 10_000])));
    assert!(Taker::new().take(source, CompressType::Zst).await.is_err());
}
