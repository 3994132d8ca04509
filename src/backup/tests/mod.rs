//! The pipeline against a synthetic source: what is stored is what was given, block by block.

use std::{collections::VecDeque, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use proptest::prelude::*;

mod deferred;
mod engine;

use super::{
    pipeline::{self, PipelineOptions, PipelineOutput, PipelineTarget},
    source::{
        BackupSource, BackupStart, BackupStop, ClusterFacts, FileHeader, FileKind, SourceEvent,
        SourceKind, SourceOptions,
    },
    *,
};
use crate::{
    codec::{BlockHasher, Decompressor, Sha256Hasher},
    repo::{
        block_map::{BlockMap, ReferenceNumbers},
        file_list::{EntryKind, FileList},
        layout::BackupPaths,
    },
    storage::{PosixStorage, Storage},
    types::{
        BackupLabel, CompressType, Compression, DataPath, Lsn, PgVersion, StanzaName, SystemId,
        TimeLine, TimelineHistory, WalSegmentSize, progress::NoProgress,
    },
};

const KEY: [u8; 32] = [7; 32];

/// Yields entries that are held in memory, their bytes in chunks of a given size.
struct SyntheticSource {
    makes_manifest: bool,
    facts: ClusterFacts,
    events: VecDeque<SourceEvent>,
}

fn header(path: &str, kind: FileKind) -> FileHeader {
    let path = DataPath::new(path.as_bytes()).unwrap();
    FileHeader { path, kind, mode: 0o600, modified: 1_700_000_000, uid: 1, gid: 2, link: None }
}

impl SyntheticSource {
    fn new(files: &[(String, Vec<u8>)], chunk: usize) -> Self {
        let mut events = VecDeque::new();
        events.push_back(SourceEvent::Begin(header("base", FileKind::Directory)));
        events.push_back(SourceEvent::End);
        for (path, data) in files {
            let kind = FileKind::File { size: data.len() as u64, unchanged: 0 };
            events.push_back(SourceEvent::Begin(header(path, kind)));
            let chunks = data.chunks(chunk).map(Bytes::copy_from_slice);
            events.extend(chunks.map(SourceEvent::Bytes));
            events.push_back(SourceEvent::End);
        }
        events.push_back(SourceEvent::Stop(BackupStop {
            lsn: Lsn(0x200),
            history: TimelineHistory::without_ancestors(TimeLine(1)),
            backup_manifest: Some(Bytes::from_static(b"{}")),
            checksum_complaints: Vec::new(),
            left_out: Vec::new(),
        }));
        Self {
            makes_manifest: true,
            facts: ClusterFacts {
                system_id: SystemId(1),
                version: PgVersion::new(15).unwrap(),
                version_num: 150000,
                wal_segment_size: WalSegmentSize::DEFAULT,
                page_size: 8192,
                page_checksums: false,
                data_directory_mode: 0o700,
                in_recovery: false,
            },
            events,
        }
    }
}

#[async_trait]
impl BackupSource for SyntheticSource {
    fn kind(&self) -> SourceKind {
        SourceKind::Stream
    }

    fn makes_manifest(&self) -> bool {
        self.makes_manifest
    }

    fn timeline(&self) -> TimeLine {
        TimeLine(1)
    }

    fn facts(&self) -> &ClusterFacts {
        &self.facts
    }

    async fn start(&mut self, _options: &SourceOptions) -> Result<BackupStart, Error> {
        Ok(BackupStart {
            lsn: Lsn(0x100),
            timeline: TimeLine(1),
            tablespaces: Vec::new(),
            size_estimate: None,
            copy_start_us: None,
        })
    }

    async fn next(&mut self) -> Result<SourceEvent, Error> {
        self.events.pop_front().ok_or_else(|| Error::Source("there is nothing more".to_owned()))
    }

    async fn cancel(&mut self) {}
}

struct Taker {
    _dir: tempfile::TempDir,
    storage: Arc<dyn Storage>,
    paths: BackupPaths,
}

impl Taker {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let storage: Arc<dyn Storage> = Arc::new(PosixStorage::new(dir.path()));
        let stanza: StanzaName = "demo".parse().unwrap();
        let label: BackupLabel = "20261121-092452F".parse().unwrap();
        Self { _dir: dir, storage, paths: BackupPaths::new(&stanza, &label).unwrap() }
    }

    async fn take(
        &self,
        mut source: SyntheticSource,
        kind: CompressType,
    ) -> Result<PipelineOutput, Error> {
        let start = source.start(&SourceOptions::default()).await?;
        let target =
            PipelineTarget { storage: Arc::clone(&self.storage), paths: self.paths.clone() };
        let options = PipelineOptions {
            threads: 2,
            compression: Compression { kind, level: kind.default_level() },
            bundle_size: 1 << 20,
            digest_key: KEY,
            check_pages: true,
        };
        pipeline::run(&mut source, &start, None, target, &options, &NoProgress).await
    }

    /// Reads every file back through its map, verifying each block.
    async fn read_back(&self, taken: PipelineOutput, kind: CompressType) -> Vec<(String, Vec<u8>)> {
        let path = self.paths.file_list().unwrap();
        let data = crate::repo::metadata::read_verified(
            &*self.storage,
            &path,
            taken.written.list.finish().await.unwrap(),
            1 << 20,
        )
        .await
        .unwrap();
        let list = FileList::decode(data, "files", &taken.written.totals).await.unwrap();
        self.check_bundles(&list).await;
        let mut files = Vec::new();
        for entry in &list.files {
            let EntryKind::File { size, map, .. } = &entry.kind else { continue };
            let mut content = vec![0; *size as usize];
            if let Some(at) = map {
                let bytes = self
                    .storage
                    .get_range(
                        &self.paths.map(at.bundle).unwrap(),
                        at.offset..at.offset + u64::from(at.len),
                    )
                    .await
                    .unwrap();
                assert_eq!(BlockHasher::new(KEY).digest(&bytes), at.digest);
                let map =
                    BlockMap::decode(&bytes, "map", *size, BLOCK_SIZE, ReferenceNumbers::of_own(0))
                        .unwrap();
                self.fill(&map, &mut content, kind).await;
            }
            files.push((entry.path.to_string(), content));
        }
        files
    }

    async fn fill(&self, map: &BlockMap, content: &mut [u8], kind: CompressType) {
        let mut decompressor = Decompressor::new(kind);
        for extent in map.extents(content.len() as u64, BLOCK_SIZE) {
            let bundle = self.paths.bundle(extent.frame.bundle).unwrap();
            let range = extent.frame.offset..extent.frame.end();
            let stored = self.storage.get_range(&bundle, range).await.unwrap();
            let mut raw = Vec::new();
            decompressor
                .decompress_frame(&stored, extent.frame.raw_len as usize, &mut raw)
                .unwrap();
            let blocks = &raw[extent.raw_offset..][..extent.len];
            let found = blocks.chunks(BLOCK_SIZE as usize).map(|b| BlockHasher::new(KEY).digest(b));
            assert!(found.eq(extent.digests.iter().copied()));
            content[extent.file_offset as usize..][..extent.len].copy_from_slice(blocks);
        }
    }

    async fn check_bundles(&self, list: &FileList) {
        for bundle in &list.bundles {
            let path =
                crate::repo::bundle::path_of(&self.paths, bundle.bundle, bundle.number).unwrap();
            let bytes = self.storage.get_range(&path, 0..bundle.record.size).await.unwrap();
            assert_eq!(Sha256Hasher::digest(&bytes), bundle.record.sha256);
        }
    }
}

fn files_of(sizes: &[usize]) -> Vec<(String, Vec<u8>)> {
    let content = |seed: usize, size| (0..size).map(|i| (i / 100 + seed) as u8).collect();
    sizes.iter().enumerate().map(|(i, &size)| (format!("base/{i}"), content(i, size))).collect()
}

async fn round_trip(sizes: &[usize], chunk: usize, kind: CompressType) {
    let files = files_of(sizes);
    let taker = Taker::new();
    let taken = taker.take(SyntheticSource::new(&files, chunk), kind).await.unwrap();
    assert_eq!(taken.written.totals.files, files.len() as u64);
    assert_eq!(taken.written.totals.size, sizes.iter().sum::<usize>() as u64);
    assert_eq!(taker.read_back(taken, kind).await, files);
}

#[tokio::test]
async fn files_of_every_size_come_back_as_they_were() {
    let frame = 1 << 20;
    let sizes = [0, 1, 8191, 8192, 8193, 0, frame - 1, frame, frame + 1, 3 * frame + 77, 5, 0];
    for kind in [CompressType::None, CompressType::Zst, CompressType::Lz4, CompressType::Gz] {
        round_trip(&sizes, 30_000, kind).await;
    }
}

/// Regression: a batch without bytes took a buffer out of the pool, and a few of them took all.
#[tokio::test]
async fn any_number_of_entries_without_bytes_goes_through() {
    let mut source = SyntheticSource::new(&[], 1);
    for number in 0..40_000 {
        let name = format!("base/{number}");
        source.events.push_front(SourceEvent::End);
        source.events.push_front(SourceEvent::Begin(header(&name, FileKind::Directory)));
    }
    let taking = Taker::new();
    let taken = taking.take(source, CompressType::Zst);
    let limit = std::time::Duration::from_secs(60);
    assert!(tokio::time::timeout(limit, taken).await.expect("it hangs").is_ok());
}

#[tokio::test]
async fn many_small_files_share_frames() {
    let files = files_of(&vec![100; 10_000]);
    let taker = Taker::new();
    let taken = taker.take(SyntheticSource::new(&files, 100), CompressType::Zst).await.unwrap();
    assert_eq!(taken.written.totals.bundles, 1);
    assert_eq!(taker.read_back(taken, CompressType::Zst).await, files);
}

type BreakIt = fn(&mut VecDeque<SourceEvent>);

#[tokio::test]
async fn a_source_that_breaks_its_promises_is_an_error() {
    let files = files_of(&[10_000]);
    let whole = SyntheticSource::new(&files, 1000);
    let broken: [(&str, BreakIt); 4] = [
        ("a chunk is missing", |events| drop(events.remove(4))),
        ("a chunk comes twice", |events| events.insert(4, events[4].clone())),
        ("no end", |events| drop(events.remove(events.len() - 2))),
        ("no stop", |events| drop(events.pop_back())),
    ];
    for (what, break_it) in broken {
        let mut events = whole.events.clone();
        break_it(&mut events);
        let SyntheticSource { makes_manifest, ref facts, .. } = whole;
        let source = SyntheticSource { makes_manifest, facts: facts.clone(), events };
        assert!(Taker::new().take(source, CompressType::Zst).await.is_err(), "{what}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_sizes_and_chunks_come_back(
        sizes in prop::collection::vec(prop_oneof![0usize..20_000, 900_000usize..1_300_000], 0..8),
        chunk in 1usize..40_000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // Chunks of a few bytes of a megabyte file only cost time.
        let chunk = if sizes.iter().any(|&size| size > 20_000) { chunk + 4000 } else { chunk };
        runtime.block_on(round_trip(&sizes, chunk, CompressType::Zst));
    }
}
