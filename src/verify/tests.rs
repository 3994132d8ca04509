//! Every kind of damage done to small repositories: what is found, what it is said to affect, and that
//! it hides nothing else.

use std::collections::BTreeSet;

use super::*;
use crate::{
    codec::encrypt::{DataKey, DataKeyId, Kdf},
    repo::{
        archive::{PutOptions, RawSource, WalArchive},
        layout::BackupPaths,
        manifest::Manifest,
        recipient::{self, PassPhrase, RecipientId},
        stanza::{self, ClusterId},
        started::Started,
        writer::Writer,
    },
    restore::tests::{memory::*, repository::*},
    storage::ObjectPath,
    types::{
        CompressType, Compression, Lsn, NoProgress, PgVersion, SystemId, TimeLine, WalSegment,
        WalSegmentSize,
    },
};

mod forged;
mod links;
mod panics;

const FULL: &str = "20261121-092452F";
const DIFF: &str = "20261121-092452F_20261121-103000D";
const INCR: &str = "20261121-092452F_20261121-113000I";
/// The smallest there is: what is read is written first.
fn size() -> WalSegmentSize {
    WalSegmentSize::new(1 << 20).unwrap()
}

/// A full backup, a differential and an incremental of it, and WAL from segment 1 to 9.
struct Bench {
    memory: MemoryStorage,
    storage: Arc<dyn Storage>,
    claims_max: usize,
    retention: retention::Settings,
    data_key: Option<DataKeyId>,
}

fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
            (state >> 40) as u8
        })
        .collect()
}

/// The cluster after `edits` of its large file.
fn items(edits: &[(usize, u8)]) -> Vec<Item> {
    let mut large = noise(3 << 19, 1);
    edits.iter().for_each(|(at, byte)| large[*at] ^= byte);
    let mut items = vec![directory("base"), directory("base/5"), file("base/5/large", large)];
    items.extend((0..40).map(|i| file(format!("base/5/small{i}"), noise(i * 977, i as u64))));
    cluster(items)
}

fn making(label: &str, segment: u64, stopped_at: i64) -> Making {
    let start = segment * size().bytes();
    Making {
        label: label.to_owned(),
        start: Lsn(start + 0x28),
        stop: Lsn(start + 0x100),
        stopped_at,
        wal_segment_size: size(),
        bundle_size: 512 << 10,
        backup_manifest: MANIFEST_OF_TABLESPACE_MAP,
        ..Making::default()
    }
}

impl Bench {
    async fn new() -> Self {
        let memory = MemoryStorage::default();
        let storage: Arc<dyn Storage> = Arc::new(memory.clone());
        let (claims_max, retention) = (Options::CLAIMS_MAX, retention::Settings::default());
        let bench = Self { memory, storage, claims_max, retention, data_key: None };
        let cluster = ClusterId { system_id: SystemId(7), version: PgVersion::new(15).unwrap() };
        stanza::create(&*bench.storage, &stanza_name(), cluster, None).await.unwrap();
        let full = store(&bench.storage, &items(&[]), &making(FULL, 2, 100)).await;
        let edits = [(9000, 1), (1_200_000, 2)];
        let diff = bench.store_on(&edits[..1], &making(DIFF, 4, 200), &full).await;
        bench.store_on(&edits, &making(INCR, 6, 300), &diff).await;
        for number in 1..=9 {
            bench.segment(number, 1).await;
        }
        bench
    }

    async fn store_on(&self, edits: &[(usize, u8)], making: &Making, prior: &Manifest) -> Manifest {
        let on = On { prior, left_out: &[] };
        store_on(&self.storage, &items(edits), making, Some(on)).await
    }

    fn archive(&self) -> WalArchive {
        let id = "15-1".parse().unwrap();
        WalArchive::new(Arc::clone(&self.storage), &stanza_name(), id).unwrap()
    }

    async fn segment(&self, number: u64, timeline: u32) {
        let segment = WalSegment::from_number(number, TimeLine(timeline), size());
        self.put(&segment.to_string(), segment_bytes(segment, 7)).await;
    }

    async fn put(&self, name: &str, bytes: Vec<u8>) {
        let compression = Compression { kind: CompressType::Zst, level: 1 };
        let options = PutOptions { compression, workers: 1, raw_size: bytes.len() as u64 };
        let source = Bytes { bytes, at: 0 };
        self.archive().put(name.parse().unwrap(), source, options).await.unwrap();
    }

    async fn verify(&self, set: Option<&str>) -> Report {
        let set = set.map(|set| set.parse().unwrap());
        let (retention, claims_max) = (self.retention, self.claims_max);
        let options = Options { set, retention, threads: 2, data_key: self.data_key, claims_max };
        verify(&self.storage, &stanza_name(), &options, &NoProgress).await.unwrap()
    }

    /// The only object whose path holds `part`.
    fn object(&self, part: &str) -> ObjectPath {
        let mut found = self.memory.paths().into_iter().filter(|path| path.as_str().contains(part));
        let object = found.next().unwrap_or_else(|| panic!("no object {part}"));
        assert_eq!(found.next(), None, "{part}");
        object
    }

    fn flip(&self, part: &str, at: impl Fn(usize) -> usize) {
        self.memory.damage(&self.object(part), |bytes| {
            let at = at(bytes.len());
            bytes[at] ^= 0x10;
        });
    }

    /// Every fault as a line, and nothing else.
    async fn faults(&self) -> String {
        shown(&self.verify(None).await)
    }
}

fn options(set: Option<BackupLabel>) -> Options {
    let retention = retention::Settings::default();
    Options { set, retention, threads: 1, data_key: None, claims_max: 1 << 20 }
}

fn stanza_name() -> StanzaName {
    "demo".parse().unwrap()
}

fn segment_bytes(segment: WalSegment, system_id: u64) -> Vec<u8> {
    let mut bytes = vec![segment.number(size()) as u8; size().bytes() as usize];
    bytes[..4].copy_from_slice(&[0x10, 0xD1, 2, 0]);
    bytes[4..8].copy_from_slice(&segment.timeline.0.to_le_bytes());
    bytes[8..16].copy_from_slice(&segment.start(size()).0.to_le_bytes());
    bytes[24..32].copy_from_slice(&system_id.to_le_bytes());
    bytes[32..36].copy_from_slice(&(size().bytes() as u32).to_le_bytes());
    bytes
}

struct Bytes {
    bytes: Vec<u8>,
    at: usize,
}

impl RawSource for Bytes {
    type Error = crate::repo::Error;

    fn fill(&mut self, buffer: &mut Vec<u8>, limit: usize) -> Result<(), Self::Error> {
        let end = (self.at + limit).min(self.bytes.len());
        buffer.clear();
        buffer.extend_from_slice(&self.bytes[self.at..end]);
        self.at = end;
        Ok(())
    }

    fn rewind(&mut self) -> Result<(), Self::Error> {
        self.at = 0;
        Ok(())
    }

    fn changed(&self) -> Self::Error {
        unreachable!("it does not change")
    }
}

fn shown(report: &Report) -> String {
    let short = |label: &BackupLabel| label.as_str()[label.as_str().len() - 1..].to_owned();
    let fault = |fault: &Fault| {
        let backups: Vec<_> = fault.backups.iter().map(short).collect();
        let file = |file: &AffectedFile| {
            format!("{} {}: {} from {}", short(&file.backup), file.path, file.blocks, file.first)
        };
        let files: Vec<_> = fault.files.iter().map(file).take(4).collect();
        // Digests depend on nothing, but are long.
        let object = match fault.object.split_once('-').filter(|_| fault.object.contains("archive"))
        {
            Some(_) => fault.object.split('-').take(2).collect::<Vec<_>>().join("-"),
            None => fault.object.clone(),
        };
        let more = fault.files_more + fault.files.len().saturating_sub(4) as u64;
        let files =
            if files.is_empty() { String::new() } else { format!("; {files:?} and {more} more") };
        format!("{} {object}: {} [{}]{files}\n", fault.kind.word(), fault.what, backups.join(" "))
    };
    report.faults.iter().map(fault).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_repository_has_no_faults_and_all_of_it_is_read() {
    let bench = Bench::new().await;
    let report = bench.verify(None).await;
    assert_eq!(shown(&report), "");
    assert_eq!(report.worst(), None);
    assert_eq!(report.checked.objects as usize, bench.memory.paths().len());
    let stored: usize =
        bench.memory.paths().iter().map(|path| bench.memory.object(path).len()).sum();
    // Of manifests the sizes are counted, of everything else what was read.
    assert_eq!(report.checked.stored as usize, stored);
    assert_eq!(report.backups.len(), 3);
    for backup in &report.backups {
        assert_eq!(backup.window.as_ref().unwrap().last.number(size()), 9);
    }
    assert_eq!((report.archives[0].files, report.archives[0].holes.len()), (9, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tight_budget_finds_the_same() {
    let mut bench = Bench::new().await;
    bench.claims_max = 1000;
    assert_eq!(bench.faults().await, "");
    bench.flip(&format!("{FULL}/bundle/00000002"), |len| len / 2);
    let tight = bench.faults().await;
    bench.claims_max = Options::CLAIMS_MAX;
    assert_eq!(tight, bench.faults().await);
    assert!(tight.contains("damaged"), "{tight}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_in_a_bundle_is_traced_to_the_files_of_every_backup() {
    let bench = Bench::new().await;
    bench.flip(&format!("{FULL}/bundle/00000001"), |len| len - 100);
    insta::assert_snapshot!(bench.faults().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_in_a_differential_affects_what_builds_on_it() {
    let bench = Bench::new().await;
    bench.flip(&format!("{DIFF}/bundle/00000001"), |len| len - 100);
    insta::assert_snapshot!(bench.faults().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_bundle_is_found() {
    let bench = Bench::new().await;
    let object = bench.object(&format!("{FULL}/bundle/00000002"));
    bench.memory.damage(&object, |bytes| bytes.truncate(bytes.len() / 2));
    insta::assert_snapshot!(bench.faults().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_bundle_is_found() {
    let bench = Bench::new().await;
    bench.memory.remove(&bench.object(&format!("{FULL}/bundle/00000003")));
    insta::assert_snapshot!(bench.faults().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn swapped_bundles_are_told_by_name() {
    let bench = Bench::new().await;
    let [a, b] = [1, 2].map(|n| bench.object(&format!("{FULL}/bundle/0000000{n}")));
    let (first, second) = (bench.memory.object(&a), bench.memory.object(&b));
    bench.memory.damage(&a, |bytes| *bytes = second.to_vec());
    bench.memory.damage(&b, |bytes| *bytes = first.to_vec());
    let faults = bench.faults().await;
    assert!(
        faults.contains("bundle/00000001: it has")
            || faults.contains("it has the content of bundle/00000002"),
        "{faults}"
    );
    assert!(faults.contains("it has the content of bundle/00000001"), "{faults}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_map_bundle_file_list_and_manifests_are_found() {
    for (part, expected) in [
        (
            format!("{DIFF}/map/00000001"),
            "damaged backup/demo/20261121-092452F_20261121-103000D/map/00000001",
        ),
        (format!("{FULL}/map/00000001"), "damaged backup/demo/20261121-092452F/map/00000001"),
        (format!("{INCR}/files"), "damaged backup/demo/20261121-092452F_20261121-113000I/files"),
        (
            format!("{INCR}/manifest"),
            "damaged backup/demo/20261121-092452F_20261121-113000I/manifest",
        ),
        (
            format!("{INCR}/backup_manifest"),
            "damaged backup/demo/20261121-092452F_20261121-113000I/backup_manifest",
        ),
        ("stanza/demo".to_owned(), "damaged stanza/demo/00000001"),
    ] {
        for at in [20_usize, 60] {
            let bench = Bench::new().await;
            bench.flip(&part, |len| at.min(len - 1));
            let faults = bench.faults().await;
            assert!(faults.contains(expected), "{part}: {faults}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_flipped_byte_of_any_object_is_found() {
    let bench = Bench::new().await;
    for path in bench.memory.paths() {
        let intact = bench.memory.object(&path);
        for part in 0..4 {
            let at = (intact.len() - 1) * part / 3;
            bench.memory.damage(&path, |bytes| bytes[at] ^= 0x04);
            let report = bench.verify(None).await;
            assert!(
                report.faults.iter().any(|fault| fault.object == path.as_str()),
                "{path} at {at}: {}",
                shown(&report)
            );
            bench.memory.damage(&path, |bytes| *bytes = intact.to_vec());
        }
    }
    assert_eq!(bench.faults().await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_parent_is_named_by_all_that_need_it() {
    let bench = Bench::new().await;
    bench.memory.remove(&bench.object(&format!("{DIFF}/manifest")));
    insta::assert_snapshot!(bench.faults().await);
    let report = bench.verify(None).await;
    assert_eq!(report.left_over[0].label.as_str(), DIFF);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_segment_is_named() {
    for (number, kind) in [("02", "missing"), ("03", "hole"), ("06", "missing"), ("08", "hole")] {
        let bench = Bench::new().await;
        let name = format!("0000000100000000000000{number}");
        bench.memory.remove(&bench.object(&name));
        let faults = bench.faults().await;
        assert!(
            faults.contains(&format!("{kind} archive/demo/15-1/0000000100000000/{name}")),
            "{faults}"
        );
    }
    let bench = Bench::new().await;
    for number in ["07", "08"] {
        bench.memory.remove(&bench.object(&format!("0000000100000000000000{number}")));
    }
    insta::assert_snapshot!(bench.faults().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn wal_that_retention_does_not_keep_is_not_missed() {
    let mut bench = Bench::new().await;
    let full = "20261122-000000F";
    store(&bench.storage, &items(&[]), &making(full, 8, 400)).await;
    bench.memory.remove(&bench.object("000000010000000000000003"));
    bench.memory.remove(&bench.object("000000010000000000000005"));
    let faults = bench.faults().await;
    assert_eq!(faults.matches("hole").count(), 2, "{faults}");
    // WAL is kept to roll forward the newest full, of the others from start to stop.
    bench.retention.archive = Some(1);
    bench.retention.full = Some(2);
    assert_eq!(bench.faults().await, "");
    bench.memory.remove(&bench.object("000000010000000000000006"));
    assert!(bench.faults().await.starts_with("missing archive"));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_wal_is_found() {
    let bench = Bench::new().await;
    let [third, fourth] = [3, 4].map(|n| bench.object(&format!("0000000100000000000000{n:02}")));
    let other = bench.memory.object(&fourth);
    bench.memory.damage(&third, |bytes| *bytes = other.to_vec());
    let segment = WalSegment::from_number(10, TimeLine(1), size());
    bench.put(&segment.to_string(), segment_bytes(segment, 8)).await;
    let eleventh = segment.next(size());
    bench.put(&eleventh.to_string(), segment_bytes(segment, 7)).await;
    bench.put("00000002.history", b"nonsense".to_vec()).await;
    insta::assert_snapshot!(bench.faults().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_orphans_and_left_overs_are_not_faults() {
    let bench = Bench::new().await;
    let object = |path: &str| ObjectPath::new(path).unwrap();
    for path in [
        "backup/demo/latest",
        "backup/demo/20261121-092452F/bundle/00000099",
        "backup/demo/20261121-092452F/notes.txt",
        "archive/demo/15-1/0000000100000000/readme",
        "archive/demo/14-7/x",
        "stanza/demo/x",
    ] {
        bench.storage.put(&object(path), bytes::Bytes::from_static(b"x")).await.unwrap();
    }
    let label: BackupLabel = "20261122-000000F".parse().unwrap();
    let paths = BackupPaths::new(&stanza_name(), &label).unwrap();
    let started = Started {
        writer: Writer::named("h", 1),
        time: 5,
        references: Vec::new(),
        copies: None,
        nonce: None,
    };
    started.write(&*bench.storage, &paths).await.unwrap();
    insta::assert_snapshot!(bench.faults().await);
    let report = bench.verify(None).await;
    assert_eq!(report.worst(), Some(FaultKind::Orphan));
    assert_eq!(report.left_over[0].started, Some((5, "h".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_is_verified_with_what_it_needs_and_no_more() {
    let bench = Bench::new().await;
    bench.flip(&format!("{INCR}/bundle/00000001"), |len| len - 50);
    bench.flip("000000010000000000000005", |len| len / 2);
    let labels = |report: &Report| -> BTreeSet<String> {
        report.backups.iter().map(|backup| backup.label.to_string()).collect()
    };
    let report = bench.verify(Some(DIFF)).await;
    assert_eq!(shown(&report), "");
    assert_eq!(labels(&report), BTreeSet::from([FULL.to_owned(), DIFF.to_owned()]));
    let report = bench.verify(Some(INCR)).await;
    assert_eq!((report.faults.len(), labels(&report).len()), (1, 3));
    let options = options("20300101-000000F".parse().ok());
    verify(&bench.storage, &stanza_name(), &options, &NoProgress).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stanza_that_is_not_there_is_an_error() {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::default());
    let options = options(None);
    let error = verify(&storage, &stanza_name(), &options, &NoProgress).await.unwrap_err();
    assert_eq!(crate::types::Failure::code(&error), crate::types::ErrorCode::FileMissing);
}

/// The key objects of a repository are not encrypted, so that one that is not will do.
#[tokio::test]
async fn a_key_object_that_is_damaged_foreign_or_a_stranger_is_found() {
    let (kdf, mut bench) = (Kdf { memory_kib: 8, passes: 1, lanes: 1 }, Bench::new().await);
    let (key, other) = (DataKey::generate().unwrap(), DataKey::generate().unwrap());
    bench.data_key = Some(key.id());
    let add = async |bench: &Bench, key: &DataKey| {
        let id = RecipientId::random();
        let data = recipient::encode(id, "", &PassPhrase::new("p"), key, kdf).unwrap();
        bench.storage.put(&id.path().unwrap(), data).await.unwrap();
        id.path().unwrap()
    };
    add(&bench, &key).await;
    let damaged = add(&bench, &key).await;
    assert_eq!(bench.faults().await, "");
    bench.flip(damaged.as_str(), |len| len / 2);
    let foreign = add(&bench, &other).await;
    let stranger = ObjectPath::new("key/notes.txt").unwrap();
    bench.storage.put(&stranger, "x".into()).await.unwrap();
    let report = bench.verify(None).await;
    let kind = |path: &ObjectPath| {
        let mut found = report.faults.iter().filter(|fault| fault.object == path.as_str());
        found.next().map(|fault| (fault.kind, fault.hint.contains("repo-key"), fault.backups.len()))
    };
    assert_eq!(kind(&damaged), Some((FaultKind::Damaged, true, 0)));
    assert_eq!(kind(&foreign), Some((FaultKind::Damaged, true, 0)));
    assert_eq!(kind(&stranger), Some((FaultKind::Orphan, false, 0)));
    assert_eq!(report.faults.len(), 3, "{:?}", report.faults);
    // They are needed by each set, too; what nobody knows is not.
    assert_eq!(bench.verify(Some(FULL)).await.faults.len(), 2);
}

#[tokio::test]
async fn a_lost_manifest_is_named_and_a_backup_in_progress_is_not() {
    let bench = Bench::new().await;
    bench.memory.remove(&bench.object(&format!("{INCR}/manifest")));
    // Without a notice nothing says that it is not in progress.
    assert_eq!(bench.faults().await, "");
    let paths = BackupPaths::new(&stanza_name(), &INCR.parse().unwrap()).unwrap();
    let notice = Started::now(Vec::new(), None);
    notice.write(&*bench.storage, &paths).await.unwrap();
    assert_eq!(bench.faults().await, "");
    bench.memory.remove(&paths.started().unwrap());
    let ended = Started { writer: Writer::ended(), ..notice };
    ended.write(&*bench.storage, &paths).await.unwrap();
    let report = bench.verify(None).await;
    let [fault] = &report.faults[..] else { panic!("{report:?}") };
    assert_eq!((fault.kind, fault.object.ends_with("I/manifest")), (FaultKind::Missing, true));
    assert!(fault.what.contains("the file list of the backup does"), "{fault:?}");
    assert!(fault.hint.contains(&format!("--set={INCR}")), "{fault:?}");
}

#[tokio::test]
async fn a_lost_object_of_a_keep_mark_is_named() {
    use crate::repo::keep::{self, KeepMark};
    let bench = Bench::new().await;
    let paths = BackupPaths::new(&stanza_name(), &FULL.parse().unwrap()).unwrap();
    keep::write(&*bench.storage, &paths, Some(KeepMark { until: None })).await.unwrap();
    assert_eq!(bench.faults().await, "");
    for name in ["00000001", "00000001.copy"] {
        let path = paths.keep().unwrap().join(name).unwrap();
        let bytes = bench.memory.object(&path);
        bench.memory.remove(&path);
        let report = bench.verify(None).await;
        let [fault] = &report.faults[..] else { panic!("{report:?}") };
        assert_eq!((fault.kind, fault.object.as_str()), (FaultKind::Missing, path.as_str()));
        bench.storage.put(&path, bytes).await.unwrap();
    }
}

/// The newest segments are gone, and with them what a later backup needs: no newer segment shows a hole.
#[tokio::test]
async fn newest_wal_that_a_backup_recorded_is_missed() {
    let bench = Bench::new().await;
    for number in 5..=9 {
        let name = format!("0000000100000000{number:08X}-");
        bench.memory.remove(&bench.object(&name));
    }
    let faults = bench.faults().await;
    let lost = "000000010000000000000005 to 000000010000000000000006 (2 segments) [F D]";
    let said = format!("WAL that a later backup found in the archive is missing: {lost}");
    assert!(faults.contains(&said), "{faults}");
}
