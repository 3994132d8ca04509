//! For tests: a store in memory whose objects can be damaged, and small repositories that the backup
//! pipeline makes from files at hand.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    backup::{
        self,
        source::{
            BackupSource, BackupStart, BackupStop, ClusterFacts, FileHeader, FileKind, SourceEvent,
            SourceOptions,
        },
    },
    repo::{
        layout::BackupPaths,
        manifest::{BlockFacts, ClusterRecord, Manifest, Span, TablespaceRecord, WalPosition},
        pg_manifest,
    },
    storage::{Download, Entry, EntryKind, Error, ErrorKind, ObjectPath, Result, Storage, Upload},
    types::{
        BackupLabel, Compression, DataPath, HistoryId, Lsn, Oid, PgVersion, Sha256, SystemId,
        TimeLine, WalSegmentSize, progress::NoProgress,
    },
};

type Objects = Arc<Mutex<BTreeMap<ObjectPath, Bytes>>>;

/// A store in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryStorage(Objects);

impl MemoryStorage {
    pub(crate) fn paths(&self) -> Vec<ObjectPath> {
        self.0.lock().unwrap().keys().cloned().collect()
    }

    pub(crate) fn object(&self, path: &ObjectPath) -> Bytes {
        self.0.lock().unwrap()[path].clone()
    }

    /// Puts other bytes in the place of an object.
    pub(crate) fn damage(&self, path: &ObjectPath, change: impl FnOnce(&mut Vec<u8>)) {
        let mut objects = self.0.lock().unwrap();
        let mut bytes = objects[path].to_vec();
        change(&mut bytes);
        objects.insert(path.clone(), bytes.into());
    }

    pub(crate) fn remove(&self, path: &ObjectPath) {
        self.0.lock().unwrap().remove(path).unwrap();
    }

    fn find(&self, path: &ObjectPath) -> Result<Bytes> {
        let missing = || Error::new(ErrorKind::NotFound, "read", format!("memory/{path}"));
        self.0.lock().unwrap().get(path).cloned().ok_or_else(missing)
    }

    fn insert(&self, path: &ObjectPath, data: Bytes) -> Result<()> {
        let taken = self.0.lock().unwrap().insert(path.clone(), data).is_some();
        assert!(!taken, "{path} is written twice");
        Ok(())
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    fn location(&self) -> String {
        "memory".to_owned()
    }

    async fn put(&self, path: &ObjectPath, data: Bytes) -> Result<()> {
        self.insert(path, data)
    }

    async fn put_stream(&self, path: &ObjectPath) -> Result<Box<dyn Upload>> {
        Ok(Box::new(MemoryUpload { storage: self.clone(), path: path.clone(), data: Vec::new() }))
    }

    async fn get(&self, path: &ObjectPath) -> Result<Box<dyn Download>> {
        let data = self.find(path)?;
        Ok(Box::new(MemoryDownload { size: data.len() as u64, data: Some(data) }))
    }

    async fn get_range(&self, path: &ObjectPath, range: Range<u64>) -> Result<Bytes> {
        let data = self.find(path)?;
        match range.end <= data.len() as u64 {
            true => Ok(data.slice(range.start as usize..range.end as usize)),
            false => Err(Error::new(ErrorKind::Truncated, "read", format!("memory/{path}"))),
        }
    }

    async fn stat(&self, path: &ObjectPath) -> Result<Entry> {
        let kind = EntryKind::Object { size: self.find(path)?.len() as u64 };
        Ok(Entry { path: path.clone(), kind, modified: None })
    }

    async fn list(&self, directory: &ObjectPath, recurse: bool) -> Result<Vec<Entry>> {
        let prefix = format!("{directory}/");
        let mut found = BTreeMap::new();
        for (path, data) in &*self.0.lock().unwrap() {
            let Some(rest) = path.as_str().strip_prefix(&prefix) else { continue };
            let kind = match rest.split_once('/') {
                None => EntryKind::Object { size: data.len() as u64 },
                Some(_) if recurse => EntryKind::Object { size: data.len() as u64 },
                Some(_) => EntryKind::Directory,
            };
            let name = if recurse { rest } else { rest.split('/').next().unwrap() };
            let path = directory.join(name).unwrap();
            found.insert(path.clone(), Entry { path, kind, modified: None });
        }
        Ok(found.into_values().collect())
    }

    async fn list_prefix(&self, directory: &ObjectPath, name_prefix: &str) -> Result<Vec<Entry>> {
        let mut found = self.list(directory, false).await?;
        found.retain(|entry| entry.path.file_name().starts_with(name_prefix));
        Ok(found)
    }

    async fn delete(&self, paths: &[ObjectPath]) -> Result<()> {
        self.0.lock().unwrap().retain(|path, _| !paths.contains(path));
        Ok(())
    }
}

struct MemoryUpload {
    storage: MemoryStorage,
    path: ObjectPath,
    data: Vec<u8>,
}

#[async_trait]
impl Upload for MemoryUpload {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        self.data.extend_from_slice(&data);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<()> {
        self.storage.insert(&self.path, self.data.into())
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct MemoryDownload {
    data: Option<Bytes>,
    size: u64,
}

#[async_trait]
impl Download for MemoryDownload {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        Ok(self.data.take().filter(|data| !data.is_empty()))
    }

    fn size(&self) -> u64 {
        self.size
    }
}

/// An entry of a made-up data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) path: DataPath,
    pub(crate) kind: FileKind,
    pub(crate) data: Bytes,
    pub(crate) mode: u32,
    pub(crate) mtime: i64,
}

pub(crate) fn path(bytes: impl AsRef<[u8]>) -> DataPath {
    DataPath::new(bytes.as_ref()).unwrap()
}

pub(crate) fn file(name: impl AsRef<[u8]>, data: impl Into<Bytes>) -> Item {
    let data = data.into();
    let kind = FileKind::File { size: data.len() as u64 };
    Item { path: path(name), kind, data, mode: 0o600, mtime: 1_700_000_000 }
}

pub(crate) fn directory(name: impl AsRef<[u8]>) -> Item {
    let kind = FileKind::Directory;
    Item { path: path(name), kind, data: Bytes::new(), mode: 0o700, mtime: 1_700_000_000 }
}

pub(crate) fn link(name: impl AsRef<[u8]>, target: &str) -> Item {
    let kind = FileKind::Link { target: target.as_bytes().to_vec() };
    Item { kind, mode: 0o777, ..directory(name) }
}

/// The least that a data directory holds, around `items`.
pub(crate) fn cluster(items: Vec<Item>) -> Vec<Item> {
    let mut all = vec![
        file("backup_label", "START WAL LOCATION: 0/2000028\n"),
        file("PG_VERSION", "15\n"),
        file("postgresql.auto.conf", "# Do not edit this file manually!\n"),
        directory("global"),
        directory("pg_wal"),
        directory("pg_tblspc"),
    ];
    all.extend(items);
    all.push(file("global/pg_control", vec![7; 8192]));
    all
}

/// A source that yields items at hand.
struct ItemSource {
    facts: ClusterFacts,
    events: VecDeque<SourceEvent>,
}

impl ItemSource {
    fn new(items: &[Item], stop: BackupStop) -> Self {
        let mut events = VecDeque::new();
        for item in items {
            events.push_back(SourceEvent::Begin(FileHeader {
                path: item.path.clone(),
                kind: item.kind.clone(),
                mode: item.mode,
                modified: item.mtime,
                uid: rustix::process::geteuid().as_raw(),
                gid: rustix::process::getegid().as_raw(),
            }));
            let mut data = item.data.clone();
            while !data.is_empty() {
                // A size that is no multiple of anything, as a socket would yield it.
                let chunk = data.split_to(data.len().min(100_003));
                events.push_back(SourceEvent::Bytes(chunk));
            }
            events.push_back(SourceEvent::End);
        }
        events.push_back(SourceEvent::Stop(stop));
        let facts = ClusterFacts {
            system_id: SystemId(7),
            version: PgVersion::new(15).unwrap(),
            version_num: 150_018,
            wal_segment_size: WalSegmentSize::DEFAULT,
            page_size: 8192,
            page_checksums: false,
            in_recovery: false,
        };
        Self { facts, events }
    }
}

#[async_trait]
impl BackupSource for ItemSource {
    fn facts(&self) -> &ClusterFacts {
        &self.facts
    }

    async fn start(
        &mut self,
        _: &SourceOptions,
    ) -> std::result::Result<BackupStart, backup::Error> {
        unreachable!("the pipeline does not start its source")
    }

    async fn next(&mut self) -> std::result::Result<SourceEvent, backup::Error> {
        Ok(self.events.pop_front().unwrap())
    }

    async fn cancel(&mut self) {}
}

/// How a made-up backup is stored.
#[derive(Clone, Debug)]
pub(crate) struct Making {
    pub(crate) label: &'static str,
    pub(crate) compression: Compression,
    pub(crate) bundle_size: u64,
    pub(crate) tablespaces: Vec<TablespaceRecord>,
    pub(crate) start: Lsn,
    pub(crate) stop: Lsn,
    pub(crate) timeline: TimeLine,
    pub(crate) stopped_at: i64,
}

impl Default for Making {
    fn default() -> Self {
        Self {
            label: "20261121-092452F",
            compression: crate::config::BackupConfig::DEFAULT_COMPRESSION,
            bundle_size: 1 << 20,
            tablespaces: Vec::new(),
            start: Lsn(0x200_0028),
            stop: Lsn(0x200_0100),
            timeline: TimeLine(1),
            stopped_at: 1_700_000_100,
        }
    }
}

pub(crate) const BACKUP_MANIFEST: &[u8] = b"{ \"PostgreSQL-Backup-Manifest-Version\": 1 }\n";

/// A record of a tablespace.
pub(crate) fn tablespace(oid: u32, name: &str, location: &str) -> TablespaceRecord {
    TablespaceRecord { oid: Oid(oid), name: Some(name.to_owned()), location: location.to_owned() }
}

/// Stores a backup of `items` as the backup command does.
pub(crate) async fn store(storage: &Arc<dyn Storage>, items: &[Item], making: &Making) -> Manifest {
    let label: BackupLabel = making.label.parse().unwrap();
    let stanza = "demo".parse().unwrap();
    let paths = BackupPaths::new(&stanza, &label).unwrap();
    let position = |lsn| WalPosition { lsn, timeline: making.timeline };
    let backup_manifest = Bytes::from_static(BACKUP_MANIFEST);
    let stop = BackupStop {
        lsn: making.stop,
        timeline: making.timeline,
        backup_manifest: backup_manifest.clone(),
        checksum_complaints: Vec::new(),
    };
    let start = BackupStart {
        lsn: making.start,
        timeline: making.timeline,
        tablespaces: Vec::new(),
        size_estimate: None,
    };
    let digest_key = [5; 32];
    let options = backup::Options {
        threads: 2,
        compression: making.compression,
        bundle_size: making.bundle_size,
        digest_key,
        check_pages: false,
    };
    let mut source = ItemSource::new(items, stop);
    let target = backup::Target { storage: Arc::clone(storage), paths: paths.clone() };
    let taken = backup::take(&mut source, &start, target, &options, &NoProgress).await.unwrap();
    let manifest = Manifest {
        program_version: "test".to_owned(),
        label,
        stanza,
        prior: None,
        references: Vec::new(),
        cluster: ClusterRecord {
            history_id: HistoryId(1),
            system_id: SystemId(7),
            version: PgVersion::new(15).unwrap(),
            version_num: 150_018,
            wal_segment_size: WalSegmentSize::DEFAULT,
            page_size: 8192,
            page_checksums: false,
        },
        source: "stream".to_owned(),
        timestamp: Span { start: making.stopped_at - 10, stop: making.stopped_at },
        wal: Span { start: position(making.start), stop: position(making.stop) },
        compression: making.compression,
        block: BlockFacts { size: backup::BLOCK_SIZE, digest_key: Sha256(digest_key) },
        tablespaces: making.tablespaces.clone(),
        databases: Vec::new(),
        totals: taken.written.totals,
        page_errors: Vec::new(),
        annotations: BTreeMap::new(),
        archive_checked: true,
        file_list: taken.written.file_list,
        backup_manifest: pg_manifest::write(&**storage, &paths, &backup_manifest).await.unwrap(),
    };
    manifest.publish(&**storage).await.unwrap();
    manifest
}
