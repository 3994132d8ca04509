//! Restores that leave something as it is, or leave something out.

use std::{
    collections::BTreeSet,
    fs::{FileTimes, OpenOptions},
    time::{Duration, SystemTime},
};

use super::*;
use crate::types::Oid;

/// Changes a byte of a file and leaves its size; the time becomes `mtime`.
fn damage(path: &Path, mtime: i64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[0] ^= 1;
    fs::write(path, bytes).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(mtime as u64);
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_times(FileTimes::new().set_modified(time)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn by_time_only_what_was_written_to_since_is_compared() {
    // The backup begins ten seconds before it stops.
    let began = Making::default().stopped_at - 10;
    let bench = Bench::new();
    let names = ["base/old", "base/just before", "base/just then", "base/touched"];
    let mut items: Vec<Item> = names.iter().map(|name| file(name, noise(20_000, 3))).collect();
    items[1].mtime = began - 1;
    items[2].mtime = began;
    items.insert(0, directory("base"));
    let items = cluster(items);
    bench.store(&items).await;
    bench.restore(Existing::Refuse).await.unwrap();
    let at = |name: &str| bench.data().join(name);
    damage(&at("base/old"), items[1].mtime);
    damage(&at("base/just before"), began - 1);
    damage(&at("base/just then"), began);
    damage(&at("base/touched"), began + 5);
    fs::remove_file(at("PG_VERSION")).unwrap();
    fs::write(at("backup_manifest"), "still a data directory").unwrap();
    bench.restore(Existing::UpdateByTime).await.unwrap();
    let expected = noise(20_000, 3);
    let right = |name: &str| fs::read(at(name)).unwrap() == expected;
    // What time cannot tell stays as it is: that is what is asked for.
    assert_eq!(names.map(right), [false, false, true, true]);
    assert_eq!(fs::read(at("PG_VERSION")).unwrap(), b"15\n");
    bench.restore(Existing::Update).await.unwrap();
    assert_eq!(names.map(right), [true; 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_left_out_are_holes() {
    let bench = Bench::new();
    let items = cluster(vec![
        directory("base"),
        directory("base/5"),
        directory("base/16400"),
        file("base/5/1", noise(9000, 1)),
        file("base/16400/PG_VERSION", "15\n"),
        file("base/16400/1", noise(20 << 20, 2)),
        file("base/16400/2", noise(9000, 3)),
        file("base/16400/empty", ""),
    ]);
    bench.store(&items).await;
    let plan = bench.plan(&PlacementOptions::default()).await.unwrap();
    let mut partly = (*plan).clone();
    partly.entries.leave_out(&BTreeSet::from([Oid(16_400)]));
    assert_eq!(partly.entries.emptied.len(), 3);
    let (full, partly) = (plan, Arc::new(partly));
    for (plan, existing) in
        [(&partly, Existing::Refuse), (&full, Existing::Update), (&partly, Existing::UpdateByTime)]
    {
        bench.execute(plan, existing).await.unwrap();
        let found = tree(&bench.data());
        let emptied = !plan.entries.emptied.is_empty();
        for item in items.iter().filter(|item| item.kind != FileKind::Directory) {
            let name = item.path.to_string();
            let bytes = found[Path::new(&name)].as_ref().unwrap();
            let hole = emptied && name.starts_with("base/16400/") && !name.ends_with("PG_VERSION");
            match hole {
                true => assert!(bytes.iter().all(|byte| *byte == 0), "{name}"),
                false => assert_eq!(bytes, &item.data, "{name}"),
            }
            assert_eq!(bytes.len(), item.data.len(), "{name}");
        }
        let blocks = fs::metadata(bench.data().join("base/16400/1")).unwrap().blocks();
        assert_eq!(blocks == 0, emptied);
        assert_eq!(found.contains_key(Path::new("backup_manifest")), !emptied);
    }
}

#[tokio::test]
async fn a_target_without_room_is_said() {
    let bench = Bench::new();
    bench.store(&cluster(Vec::new())).await;
    let plan = bench.plan(&PlacementOptions::default()).await.unwrap();
    assert_eq!(shortages(&plan, Existing::Refuse), []);
    let mut large = (*plan).clone();
    let size = 1 << 60;
    large.entries.files[0].kind =
        crate::repo::file_list::EntryKind::File { size, map: None, base: None };
    let found = shortages(&large, Existing::Update);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].directory, bench.data());
    assert!(found[0].needed >= size && found[0].free < size);
}
