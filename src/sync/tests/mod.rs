//! Plans from inventory, and copies whose stores fail at every operation in turn.

mod meddled;
mod stores_away;

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::{
    codec::Sha256Hasher,
    repo::{
        backup_list,
        file_list::{BundleKind, BundleRecord, FileListWriter},
        keep::{self, KeepMark},
        layout::BackupPaths,
        manifest::{Manifest, ObjectRecord},
        object_header::{ObjectHeader, ObjectKind},
        pg_manifest,
        stanza::{self, ClusterId, StanzaHistory},
    },
    restore::tests::memory::MemoryStorage,
    storage::{
        ErrorKind, ObjectPath,
        fault::{Fault, FaultyStorage, Operation, Rule},
    },
    types::{CompressType, NoProgress, SystemId},
};

const FULL: &str = "20261121-092452F";
const DIFF: &str = "20261121-092452F_20261121-092455D";
const NEXT: &str = "20261122-092452F";

fn stanza_name() -> StanzaName {
    "demo".parse().unwrap()
}

fn cluster(id: u64) -> ClusterId {
    ClusterId { system_id: SystemId(id), version: "15".parse().unwrap() }
}

fn options() -> Options {
    let retention = Settings::default();
    let shield = Shield::default();
    Options { set: None, retention, at_once: 2, now: 1_795_300_000, zone: TimeZone::UTC, shield }
}

/// The manifest of a backup that is nowhere.
fn manifest(label: &str, references: &[&str]) -> Manifest {
    let object = serde_json::json!({ "size": 1, "sha256": "00".repeat(32) });
    let position = |lsn: &str| serde_json::json!({ "lsn": lsn, "timeline": 1 });
    serde_json::from_value(serde_json::json!({
        "program-version": "0.1.0", "label": label, "stanza": "demo",
        "prior": references.last(), "references": references,
        "cluster": {
            "history-id": 1, "system-id": 7, "version": "15", "version-num": 150018,
            "wal-segment-size": 1 << 20, "page-size": 8192, "page-checksums": true, "data-directory-mode": 448,
        },
        "source": "stream",
        "timestamp-us": { "start": 1_795_253_092_000_000_i64, "stop": 1_795_253_094_000_000_i64 },
        "wal": { "start": position("0/400028"), "stop": position("0/500000") },
        "compression": { "type": "zst", "level": 3 },
        "block": { "size": 8192, "digest-key": "11".repeat(32) },
        "totals": {
            "files": 10, "size": 5_000_000, "size-delta": 5_000_000, "repo-size": 1_000_000,
            "repo-size-delta": 1_000_000, "map-size": 1000, "bundles": 1,
        },
        "archive-checked": true, "file-list": object, "backup-manifest": object,
    }))
    .unwrap()
}

/// Publishes a backup of two bundles.
async fn publish(storage: &dyn Storage, label: &str, references: &[&str]) {
    let mut manifest = manifest(label, references);
    let paths = BackupPaths::new(&stanza_name(), &manifest.label).unwrap();
    let mut list = FileListWriter::create(storage, &paths).await.unwrap();
    for (bundle, number) in [(BundleKind::Data, 1), (BundleKind::Map, 1)] {
        let bytes = Bytes::from(format!("{label} {number} {bundle:?}").repeat(100));
        let path = match bundle {
            BundleKind::Data => paths.bundle(number),
            BundleKind::Map => paths.map(number),
        };
        let record =
            ObjectRecord { size: bytes.len() as u64, sha256: Sha256Hasher::digest(&bytes) };
        storage.put(&path.unwrap(), bytes).await.unwrap();
        list.bundle(&BundleRecord { bundle, number, record }).await.unwrap();
    }
    manifest.file_list = list.finish().await.unwrap();
    let text = Bytes::from_static(b"{}");
    manifest.backup_manifest = pg_manifest::write(storage, &paths, &text).await.unwrap();
    manifest.publish(storage).await.unwrap();
}

/// The bytes of a segment of 1 MiB, stored as they are, and its path. `fill` is what is in it.
fn segment(number: u64, fill: u8) -> (ObjectPath, Bytes) {
    let mut raw = vec![fill; 1 << 20];
    raw[..8].copy_from_slice(&[0x10, 0xD1, 2, 0, 1, 0, 0, 0]);
    raw[8..16].copy_from_slice(&(number << 20).to_le_bytes());
    raw[24..32].copy_from_slice(&7_u64.to_le_bytes());
    raw[32..36].copy_from_slice(&(1_u32 << 20).to_le_bytes());
    let name = format!("0000000100000000{number:08X}-{}", Sha256Hasher::digest(&raw));
    let header = ObjectHeader::new(ObjectKind::Wal, CompressType::None).encode();
    let stored = [&header[..], &(raw.len() as u64).to_le_bytes(), &raw].concat();
    (ObjectPath::new(format!("archive/demo/15-1/0000000100000000/{name}")).unwrap(), stored.into())
}

async fn archive(storage: &dyn Storage, number: u64, fill: u8) -> ObjectPath {
    let (path, bytes) = segment(number, fill);
    storage.put(&path, bytes).await.unwrap();
    path
}

/// Two stores, the first with a stanza, a chain and its WAL.
struct Pair {
    from: Arc<FaultyStorage>,
    to: Arc<FaultyStorage>,
}

impl Pair {
    async fn new() -> Self {
        let store = || Arc::new(FaultyStorage::new(Arc::new(MemoryStorage::default())));
        let (from, to) = (store(), store());
        stanza::create(&*from, &stanza_name(), cluster(7), None).await.unwrap();
        publish(&*from, FULL, &[]).await;
        publish(&*from, DIFF, &[FULL]).await;
        archive(&*from, 4, 4).await;
        Self { from, to }
    }

    fn route(&self) -> Route {
        Route { from: self.from.clone(), to: self.to.clone(), stanza: stanza_name() }
    }

    async fn sync(&self, options: &Options) -> Result<Outcome, Error> {
        let plan = prepare(&self.route(), options).await?;
        execute(&self.route(), plan, options, &NoProgress).await
    }

    async fn labels(&self) -> Vec<String> {
        let to: Arc<dyn Storage> = self.to.clone();
        let manifests = backup_list::manifests(&to, &stanza_name()).await.unwrap();
        manifests.iter().map(|manifest| manifest.label.to_string()).collect()
    }

    /// What could not be copied.
    async fn errors(&self) -> Vec<String> {
        let outcome = self.sync(&options()).await.unwrap();
        outcome.failed.iter().map(|failed| failed.error.to_string()).collect()
    }

    /// Every backup of the target is whole, and so is what it refers to.
    async fn assert_whole(&self) {
        for label in self.labels().await {
            let manifest =
                Manifest::read(&*self.to, &stanza_name(), &label.parse().unwrap()).await.unwrap();
            let list = crate::repo::file_list::FileList::read(&*self.to, &manifest).await.unwrap();
            let paths = BackupPaths::new(&stanza_name(), &manifest.label).unwrap();
            for bundle in list.bundles {
                let path = match bundle.bundle {
                    BundleKind::Data => paths.bundle(bundle.number),
                    BundleKind::Map => paths.map(bundle.number),
                };
                let (path, record) = (path.unwrap(), bundle.record);
                let read = crate::repo::metadata::read_verified(&*self.to, &path, record, 1 << 30);
                read.await.unwrap();
            }
            pg_manifest::read(&*self.to, &manifest).await.unwrap();
            for needed in &manifest.references {
                Manifest::read(&*self.to, &stanza_name(), needed).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn what_is_missing_is_copied_and_nothing_twice() {
    let pair = Pair::new().await;
    let outcome = pair.sync(&options()).await.unwrap();
    assert_eq!(outcome.backups.len(), 2);
    // Two bundles, two lists and the manifest; the notice is the copy's own.
    assert_eq!(outcome.backups[0].objects, 5);
    pair.assert_whole().await;
    let again = pair.sync(&options()).await.unwrap();
    assert!(again.backups.is_empty() && again.failed.is_empty(), "{again:?}");
    publish(&*pair.from, NEXT, &[]).await;
    let outcome = pair.sync(&options()).await.unwrap();
    let labels: Vec<_> = outcome.backups.iter().map(|copied| copied.label.to_string()).collect();
    assert_eq!(labels, [NEXT]);
}

#[tokio::test]
async fn whatever_moment_it_fails_at_no_backup_is_half_there_and_the_next_run_ends_it() {
    use Operation::*;
    for (at_target, operation) in [
        (true, Put),
        (true, Write),
        (true, Finish),
        (true, List),
        (true, Stat),
        (true, Get),
        (false, Get),
        (false, Read),
        (false, List),
    ] {
        // Only what writes can be done although its answer is lost.
        let lost =
            matches!(operation, Put | Finish).then_some(Fault::FailAfter(ErrorKind::Transient));
        for fault in std::iter::once(Fault::Fail(ErrorKind::Transient)).chain(lost) {
            for skip in 0..200 {
                let pair = Pair::new().await;
                let store = if at_target { &pair.to } else { &pair.from };
                store.add(Rule::always(operation, fault.clone()).at(skip, 1));
                let result = pair.sync(&options()).await;
                let failed = result.as_ref().map_or(true, |outcome| {
                    !outcome.failed.is_empty() || !outcome.skipped.is_empty()
                });
                pair.from.clear();
                pair.to.clear();
                pair.assert_whole().await;
                pair.sync(&options()).await.unwrap();
                assert_eq!(pair.labels().await, [FULL, DIFF], "{operation:?} {skip}");
                pair.assert_whole().await;
                if !failed {
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn damage_is_named_and_never_copied_and_the_other_chain_is() {
    for fault in [Fault::FlipRead(700), Fault::CutRead(1)] {
        let pair = Pair::new().await;
        publish(&*pair.from, NEXT, &[]).await;
        pair.from.add(Rule::always(Operation::Read, fault).on(&format!("{FULL}/bundle")));
        let outcome = pair.sync(&options()).await.unwrap();
        assert_eq!(pair.labels().await, [NEXT]);
        let errors: Vec<String> = outcome.failed.iter().map(|f| f.error.to_string()).collect();
        assert!(errors[0].contains(&format!("{FULL}/bundle/00000001")), "{errors:?}");
        assert!(errors[1].contains(&format!("needs {FULL}")), "{errors:?}");
        pair.assert_whole().await;
        pair.from.clear();
        pair.sync(&options()).await.unwrap();
        assert_eq!(pair.labels().await, [FULL, DIFF, NEXT]);
    }
}

#[tokio::test]
async fn a_target_with_numbers_of_its_own_gets_manifests_with_these() {
    let pair = Pair::new().await;
    stanza::create(&*pair.to, &stanza_name(), cluster(6), None).await.unwrap();
    stanza::upgrade(&*pair.to, &stanza_name(), cluster(7), None).await.unwrap();
    pair.sync(&options()).await.unwrap();
    let manifest = Manifest::read(&*pair.to, &stanza_name(), &FULL.parse().unwrap()).await.unwrap();
    assert_eq!(manifest.cluster.history_id.0, 2);
    pair.assert_whole().await;
    assert!(pair.sync(&options()).await.unwrap().backups.is_empty());
}

#[tokio::test]
async fn the_stanza_is_made_as_it_is_and_another_cluster_is_refused() {
    let pair = Pair::new().await;
    pair.sync(&options()).await.unwrap();
    let history = |store: Arc<FaultyStorage>| async move {
        let history = StanzaHistory::read(&*store, &stanza_name()).await.unwrap();
        // Each object has a nonce of its own.
        let of_none =
            |entry: &stanza::StanzaEntry| stanza::StanzaEntry { nonce: None, ..entry.clone() };
        history.entries().iter().map(of_none).collect::<Vec<_>>()
    };
    assert_eq!(history(pair.from.clone()).await, history(pair.to.clone()).await);
    let pair = Pair::new().await;
    stanza::create(&*pair.to, &stanza_name(), cluster(8), None).await.unwrap();
    assert!(matches!(pair.sync(&options()).await, Err(Error::OtherCluster { .. })));
}

#[tokio::test]
async fn retention_of_the_target_decides_and_a_set_that_is_asked_for_comes_anyway() {
    let pair = Pair::new().await;
    publish(&*pair.from, NEXT, &[]).await;
    let one = Options { retention: Settings { full: Some(1), ..Settings::default() }, ..options() };
    let outcome = pair.sync(&one).await.unwrap();
    assert_eq!(pair.labels().await, [NEXT]);
    assert!(outcome.skipped.iter().all(|skipped| skipped.reason == SkipReason::Retention));
    assert_eq!(outcome.skipped.len(), 2);
    let set = Options { set: Some(DIFF.parse().unwrap()), ..one };
    pair.sync(&set).await.unwrap();
    assert_eq!(pair.labels().await, [FULL, DIFF, NEXT]);
    let missing = Options { set: Some("20300101-000000F".parse().unwrap()), ..options() };
    assert!(pair.sync(&missing).await.is_err());
}

#[tokio::test]
async fn marks_are_brought_over_and_keep_what_retention_would_not() {
    let pair = Pair::new().await;
    publish(&*pair.from, NEXT, &[]).await;
    let paths = BackupPaths::new(&stanza_name(), &FULL.parse().unwrap()).unwrap();
    let mark = Some(KeepMark { until: None });
    keep::write(&*pair.from, &paths, mark).await.unwrap();
    let one = Options { retention: Settings { full: Some(1), ..Settings::default() }, ..options() };
    pair.sync(&one).await.unwrap();
    assert_eq!(pair.labels().await, [FULL, NEXT]);
    assert_eq!(keep::read(&*pair.to, &paths).await.unwrap(), mark);
    keep::write(&*pair.from, &paths, None).await.unwrap();
    assert_eq!(pair.sync(&one).await.unwrap().changes, 1);
    assert_eq!(keep::read(&*pair.to, &paths).await.unwrap(), None);
    // A mark that only the target has stays.
    keep::write(&*pair.to, &paths, mark).await.unwrap();
    assert_eq!(pair.sync(&one).await.unwrap().changes, 0);
    assert_eq!(keep::read(&*pair.to, &paths).await.unwrap(), mark);
}

#[test]
fn what_a_backup_needs_comes_before_it_and_what_lacks_it_does_not_come() {
    let known = |label, references: &[&str]| MarkedBackup {
        manifest: manifest(label, references),
        mark: None,
    };
    let entry = stanza::StanzaEntry {
        id: crate::types::HistoryId(1),
        cluster: cluster(7),
        control_version: None,
        created: 0,
        nonce: None,
    };
    let inventory = || SyncInventory {
        history: HistoryMap::new(&stanza_name(), std::slice::from_ref(&entry), &[]).unwrap(),
        source: vec![known(DIFF, &[FULL]), known(NEXT, &[]), known(FULL, &[])],
        ..SyncInventory::default()
    };
    let labels = |plan: &SyncPlan| -> Vec<String> {
        plan.backups.iter().map(|copy| copy.to.label.to_string()).collect()
    };
    assert_eq!(labels(&plan(inventory(), &options()).unwrap()), [FULL, DIFF, NEXT]);
    let mut without = inventory();
    without.source.pop();
    let plan_without = plan(without, &options()).unwrap();
    assert_eq!(labels(&plan_without), [NEXT]);
    assert_eq!(plan_without.skipped[0].reason, SkipReason::Needs(FULL.parse().unwrap()));
    let mut other = inventory();
    let mut there = known(FULL, &[]);
    there.manifest.file_list.size = 99;
    other.target.push(there);
    let plan_other = plan(other, &options()).unwrap();
    assert_eq!(labels(&plan_other), [NEXT]);
    assert_eq!(plan_other.skipped[0].reason, SkipReason::OtherBackup);
}
