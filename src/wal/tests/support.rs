//! Segments and archives for the tests of this module.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    repo::archive::WalArchive,
    storage::{
        ObjectPath, PosixStorage, Storage,
        fault::{FaultyStorage, Rule},
    },
    types::{
        ArchiveFile, CompressType, Compression, PgVersion, SystemId, WalSegment, WalSegmentSize,
    },
    wal::{ClusterIdentity, Error, PushOptions, PushOutcome, Pushing},
};

pub(super) const SIZE: usize = 1 << 20;
const SYSTEM_ID: u64 = 7_000_000_000_000_000_001;

/// Pushes the file at `path` as one of a cluster.
pub(super) async fn push_file(
    archive: &WalArchive,
    path: &Path,
    file: ArchiveFile,
    options: PushOptions,
    cluster: Option<ClusterIdentity>,
) -> Result<PushOutcome, Error> {
    Pushing::begin(path, file, options).await?.store(archive, cluster).await
}

/// A host with a repository, and faults where a test wants them.
pub(super) struct Host {
    pub(super) dir: tempfile::TempDir,
    pub(super) storage: Arc<FaultyStorage>,
    pub(super) archive: WalArchive,
}

impl Host {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("pg_wal")).unwrap();
        let posix = PosixStorage::new(dir.path().join("repo"));
        let storage = Arc::new(FaultyStorage::new(Arc::new(posix)));
        let (stanza, id) = ("db".parse().unwrap(), "15-1".parse().unwrap());
        let archive =
            WalArchive::new(Arc::clone(&storage) as Arc<dyn Storage>, &stanza, id).unwrap();
        Self { dir, storage, archive }
    }

    /// Puts a file where PostgreSQL would have it.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.pg_wal(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub(super) fn pg_wal(&self, name: &str) -> PathBuf {
        self.dir.path().join("pg_wal").join(name)
    }

    pub(super) fn names_in_pg_wal(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path().join("pg_wal")).unwrap();
        let mut names: Vec<_> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The paths of all objects of the repository.
    pub(super) async fn objects(&self) -> Vec<String> {
        let entries = self.storage.list(&ObjectPath::root(), true).await.unwrap();
        let objects =
            entries.into_iter().filter(|e| e.kind != crate::storage::EntryKind::Directory);
        objects.map(|e| e.path.as_str().to_owned()).collect()
    }

    pub(super) fn break_with(&self, rule: Rule) {
        self.storage.add(rule);
    }
}

pub(super) fn file(name: &str) -> ArchiveFile {
    name.parse().unwrap()
}

pub(super) const ZST: Compression = Compression { kind: CompressType::Zst, level: 3 };

/// A segment of 1 MiB as PostgreSQL 15 begins it, then `fill`.
pub(super) fn segment(name: &str, fill: u8) -> Vec<u8> {
    segment_of(name, fill, SIZE)
}

pub(super) fn segment_of(name: &str, fill: u8, size: usize) -> Vec<u8> {
    let segment: WalSegment = name.split('.').next().unwrap().parse().unwrap();
    let start = segment.start(WalSegmentSize::new(size as u32).unwrap());
    let mut bytes: Vec<u8> = (0..size).map(|i| (i / 97) as u8 ^ fill).collect();
    bytes[..4].copy_from_slice(&[0x10, 0xD1, 2, 0]);
    bytes[4..8].copy_from_slice(&segment.timeline.0.to_le_bytes());
    bytes[8..16].copy_from_slice(&start.0.to_le_bytes());
    bytes[24..32].copy_from_slice(&SYSTEM_ID.to_le_bytes());
    bytes[32..36].copy_from_slice(&(size as u32).to_le_bytes());
    bytes
}

pub(super) fn cluster() -> ClusterIdentity {
    let version = PgVersion::new(15).unwrap();
    ClusterIdentity { system_id: SystemId(SYSTEM_ID), version }
}
