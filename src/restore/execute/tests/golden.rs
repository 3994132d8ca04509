//! Repositories that earlier versions wrote, kept in `fixtures/`: what is read from them must never change.

mod codecs;
mod expected;

use self::expected::{Expected, sha256};
use super::*;
use crate::{
    codec::encrypt::Kdf,
    repo::{
        annotation,
        archive::WalArchive,
        encrypted::EncryptedStorage,
        keep::{self, KeepMark},
        layout::BackupPaths,
        recipient::{PassPhrase, RecipientId},
        stanza::{self, ClusterId, StanzaHistory},
        started::Started,
    },
    storage::{PosixStorage, Storage},
    types::{ArchiveFile, HistoryId, PgVersion, SystemId},
    wal::{self, GetOptions, GetOutcome, PushOptions},
};

const VERSION_1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/repository-v1");
const ENCRYPTED_1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/repository-v1-encrypted");
const ENCRYPTED_1_PASS: &str = "the pass phrase of the golden repository";
const HISTORY: &str = "1\t0/5000000\tno recovery target specified\n";

const FULL: &str = "20261121-092452F";
const DIFF: &str = "20261121-092452F_20261121-103000D";
const INCR: &str = "20261121-092452F_20261121-113000I";

fn text(seed: u32, size: u32) -> Vec<u8> {
    (0..size).map(|i| (i / 64 * seed) as u8).collect()
}

fn items() -> Vec<Item> {
    cluster(vec![
        directory("base"),
        directory("base/empty"),
        file("base/one", text(3, 1)),
        file("base/page", text(5, 8192)),
        file("base/odd", text(7, 30_000)),
        file("base/frames", text(11, (2 << 20) + 100)),
        file("base/zeros", vec![0; 100_000]),
        file(b"base/\xff %\n".as_slice(), "odd name"),
    ])
}

/// What became of the items: a page changed, a file grew, one is new, one is gone.
fn later_items(seed: u8) -> Vec<Item> {
    let mut items = items();
    items.retain(|item| item.path != path("base/one"));
    for item in &mut items {
        let mut data = item.data.to_vec();
        if item.path == path("base/frames") {
            data[5 * 8192 + usize::from(seed)] ^= 255;
            *item = file("base/frames", data);
        } else if item.path == path("base/odd") {
            data.extend(vec![seed; 20_000]);
            *item = file("base/odd", data);
        }
    }
    items.insert(8, file("base/new", text(13, 9000)));
    items
}

/// The three backups of the fixture.
fn backups() -> [(&'static str, Vec<Item>); 3] {
    [(FULL, items()), (DIFF, later_items(1)), (INCR, later_items(2))]
}

/// Writes the fixture where there is none: `PGSTRATA_MAKE_FIXTURES=1 cargo test golden`. One that is
/// there is never written again; a new format gets a directory of its own.
async fn make(storage: &Arc<dyn Storage>) {
    let demo = "demo".parse().unwrap();
    let id = ClusterId { system_id: SystemId(7), version: PgVersion::new(15).unwrap() };
    stanza::create(&**storage, &demo, id, Some(1300)).await.unwrap();
    let mut made: Vec<Manifest> = Vec::new();
    for (label, items) in backups() {
        let making = Making { label: label.to_owned(), ..Making::default() };
        let paths = BackupPaths::new(&demo, &label.parse().unwrap()).unwrap();
        let references = made.iter().map(|manifest| manifest.label.clone()).collect();
        let notice = Started { time: 1, ..Started::now(references, None) };
        notice.write(&**storage, &paths).await.unwrap();
        let on = made.last().map(|prior| On { prior, left_out: &[] });
        let manifest = store_on(storage, &items, &making, on).await;
        made.push(manifest);
    }
    let manifest = &made[0];
    let paths = BackupPaths::new(&demo, &manifest.label).unwrap();
    let mut change = annotation::Change::default();
    change.set.insert("reason".to_owned(), "golden".to_owned());
    annotation::add(&**storage, &paths, &change).await.unwrap();
    let mark = KeepMark { until: Some(1_900_000_000) };
    keep::write(&**storage, &paths, Some(mark)).await.unwrap();
    let history = StanzaHistory::read(&**storage, &demo).await.unwrap();
    let archive = WalArchive::new(storage.clone(), &demo, history.current().archive_id()).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("00000002.history");
    fs::write(&path, HISTORY).unwrap();
    let options = PushOptions { compression: Making::default().compression, workers: 1 };
    let file = "00000002.history".parse().unwrap();
    let pushing = wal::Pushing::begin(&path, file, options).await.unwrap();
    pushing.store(&archive, None).await.unwrap();
}

fn to_be_made(directory: &str) -> bool {
    std::env::var_os("PGSTRATA_MAKE_FIXTURES").is_some() && !Path::new(directory).exists()
}

#[tokio::test]
async fn the_first_format_is_read_as_it_was_written() {
    let storage: Arc<dyn Storage> = Arc::new(PosixStorage::new(VERSION_1));
    if to_be_made(VERSION_1) {
        make(&storage).await;
    }
    restore_all(&storage, Expected::of("repository-v1")).await;
    deliver_wal(storage).await;
}

#[tokio::test]
async fn the_first_encryption_is_read_as_it_was_written() {
    let below: Arc<dyn Storage> = Arc::new(PosixStorage::new(ENCRYPTED_1));
    let encrypted = EncryptedStorage::new(below, PassPhrase::new(ENCRYPTED_1_PASS));
    let storage: Arc<dyn Storage> = Arc::new(encrypted.clone());
    if to_be_made(ENCRYPTED_1) {
        encrypted.keyring().create("golden", Kdf::DEFAULT).await.unwrap();
        make(&storage).await;
    }
    restore_all(&storage, Expected::of("repository-v1-encrypted")).await;
    deliver_wal(storage).await;
    let (id, recipient) = encrypted.keyring().recipients(None).await.unwrap().remove(0);
    assert_eq!((id, recipient.unwrap().kdf), (RecipientId::FIRST, Kdf::DEFAULT));
}

/// Every backup comes back to the byte, with what was said of it.
async fn restore_all(storage: &Arc<dyn Storage>, mut listed: Expected) {
    for (label, items) in backups() {
        let bench = Bench::on(storage.clone());
        let plan = bench.plan_of(label, &PlacementOptions::default()).await.unwrap();
        bench.execute(&plan, Existing::Refuse).await.unwrap();
        assert!(tree(&bench.data()) == expected(&items), "{label}");
        listed.backup(label, &bench.data());
        let paths = BackupPaths::new(&plan.manifest.stanza, &plan.manifest.label).unwrap();
        let notice = Started::read(&**storage, &paths).await.unwrap();
        assert_eq!(notice.references, plan.manifest.references);
        let effective = annotation::effective(&**storage, &plan.manifest).await.unwrap();
        assert_eq!(effective.contains_key("reason"), label == FULL);
        let mark = keep::read(&**storage, &paths).await.unwrap();
        assert_eq!(mark.and_then(|mark| mark.until), (label == FULL).then_some(1_900_000_000));
    }
    listed.wal("00000002.history", HISTORY.as_bytes());
    listed.check();
}

async fn deliver_wal(storage: Arc<dyn Storage>) {
    let demo = "demo".parse().unwrap();
    let history = StanzaHistory::read(&*storage, &demo).await.unwrap();
    assert_eq!(history.current().id, HistoryId(1));
    assert_eq!(history.current().cluster.system_id, SystemId(7));
    let archive = WalArchive::new(storage, &demo, history.current().archive_id()).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let destination = scratch.path().join("RECOVERYHISTORY");
    let file: ArchiveFile = "00000002.history".parse().unwrap();
    let options = GetOptions { cluster: None, durable: false };
    let outcome = wal::get(&archive, file, &destination, options).await.unwrap();
    assert_eq!(outcome, GetOutcome::Delivered);
    assert_eq!(fs::read_to_string(destination).unwrap(), HISTORY);
}
