//! Repositories that earlier versions wrote, kept in `fixtures/`: what is read from them must never change.

use super::*;
use crate::{
    repo::{
        annotation,
        archive::WalArchive,
        layout::BackupPaths,
        stanza::{self, ClusterId, StanzaHistory},
    },
    restore::tests::repository::{Making, cluster, directory, file, store},
    storage::{PosixStorage, Storage},
    types::{ArchiveFile, HistoryId, PgVersion, SystemId},
    wal::{self, GetOptions, GetOutcome, PushOptions},
};

const VERSION_1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/repository-v1");
const HISTORY: &str = "1\t0/5000000\tno recovery target specified\n";

fn items() -> Vec<crate::restore::tests::repository::Item> {
    let text = |seed: u32, size: u32| (0..size).map(|i| (i / 64 * seed) as u8).collect::<Vec<u8>>();
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

/// Writes the fixture where there is none: `PGSTRATA_MAKE_FIXTURES=1 cargo test golden`. One that is
/// there is never written again; a new format gets a directory of its own.
async fn make(storage: &Arc<dyn Storage>) {
    let demo = "demo".parse().unwrap();
    let id = ClusterId { system_id: SystemId(7), version: PgVersion::new(15).unwrap() };
    stanza::create(&**storage, &demo, id, Some(1300)).await.unwrap();
    let manifest = store(storage, &items(), &Making::default()).await;
    let paths = BackupPaths::new(&demo, &manifest.label).unwrap();
    let mut change = annotation::Change::default();
    change.set.insert("reason".to_owned(), "golden".to_owned());
    annotation::add(&**storage, &paths, &change).await.unwrap();
    let history = StanzaHistory::read(&**storage, &demo).await.unwrap();
    let archive = WalArchive::new(storage.clone(), &demo, history.current().archive_id()).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("00000002.history");
    fs::write(&path, HISTORY).unwrap();
    let options =
        PushOptions { compression: Making::default().compression, workers: 1, cluster: None };
    let file = "00000002.history".parse().unwrap();
    wal::push(&archive, &path, file, options).await.unwrap();
}

#[tokio::test]
async fn the_first_format_is_read_as_it_was_written() {
    let storage: Arc<dyn Storage> = Arc::new(PosixStorage::new(VERSION_1));
    if std::env::var_os("PGSTRATA_MAKE_FIXTURES").is_some() && !Path::new(VERSION_1).exists() {
        make(&storage).await;
    }
    let bench = Bench::on(storage.clone());
    let plan = bench.restore(Existing::Refuse).await.unwrap();
    let effective = annotation::effective(&*storage, &plan.manifest).await.unwrap();
    assert_eq!(effective["reason"], "golden");
    for item in items() {
        let found = item.path.under(&bench.data());
        match item.kind {
            FileKind::File { .. } => {
                assert!(fs::read(found).unwrap() == item.data, "{}", item.path)
            }
            _ => assert!(found.is_dir(), "{}", item.path),
        }
    }
}

#[tokio::test]
async fn the_wal_of_the_first_format_is_delivered() {
    let storage: Arc<dyn Storage> = Arc::new(PosixStorage::new(VERSION_1));
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
