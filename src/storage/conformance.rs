//! The promises of [`Storage`], as tests that every backend must pass.
//!
//! It is part of the library so that tests of any backend, also those against real servers, run the
//! same suite: hand [`run_all`] an empty store. It panics at the first promise that is broken.

// A test suite tells of a failure by a panic.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{Download, Entry, EntryKind, ErrorKind, ObjectPath, Result, Storage};

type Store = Arc<dyn Storage>;

/// How long the removal of a dropped upload may take.
const REMOVAL_MAX: Duration = Duration::from_secs(60);

/// Runs the whole suite on a store that is empty; it leaves it empty.
pub async fn run_all(store: Store) {
    what_was_put_comes_back(&store).await;
    an_object_is_created_once(&store).await;
    of_many_creators_one_wins(&store).await;
    streams_of_any_length_arrive_whole(&store).await;
    an_upload_given_up_leaves_nothing(&store).await;
    a_taken_name_is_refused_at_the_end_of_a_stream(&store).await;
    ranges_are_exact(&store).await;
    absence_is_not_found(&store).await;
    listings_show_what_is_there(&store).await;
    prefixes_select_by_file_name(&store).await;
    long_listings_are_complete_and_in_order(&store).await;
    odd_names_are_kept(&store).await;
    deleting_is_idempotent_and_tidies_up(&store).await;
    // A dropped upload is removed in the background.
    let deadline = Instant::now() + REMOVAL_MAX;
    loop {
        let left = names(&store, "", true).await;
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "the suite leaves the store empty: {left:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn path(text: &str) -> ObjectPath {
    ObjectPath::new(text).unwrap()
}

async fn put(store: &Store, name: &str, data: &'static str) -> Result<()> {
    store.put(&path(name), Bytes::from_static(data.as_bytes())).await
}

async fn read(store: &Store, name: &str) -> Result<Vec<u8>> {
    let mut download = store.get(&path(name)).await?;
    let bytes = drain(download.as_mut()).await?;
    assert_eq!(bytes.len() as u64, download.size(), "{name}: the size is as announced");
    Ok(bytes)
}

async fn drain(download: &mut dyn Download) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = download.next().await? {
        assert!(!chunk.is_empty(), "a chunk is never empty");
        bytes.extend_from_slice(&chunk);
    }
    assert!(download.next().await?.is_none(), "the end stays the end");
    Ok(bytes)
}

async fn names(store: &Store, directory: &str, recurse: bool) -> Vec<String> {
    let entries = store.list(&path(directory), recurse).await.unwrap();
    entries.into_iter().map(|e| e.path.as_str().to_owned()).collect()
}

async fn remove(store: &Store, names: &[&str]) {
    let paths: Vec<_> = names.iter().map(|n| path(n)).collect();
    store.delete(&paths).await.unwrap();
}

fn kind_of<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|e| e.kind())
}

async fn what_was_put_comes_back(store: &Store) {
    put(store, "c/one", "1").await.unwrap();
    put(store, "c/none", "").await.unwrap();
    assert_eq!(read(store, "c/one").await.unwrap(), b"1");
    assert_eq!(read(store, "c/none").await.unwrap(), b"");
    let entry = store.stat(&path("c/one")).await.unwrap();
    assert_eq!((entry.path, entry.kind), (path("c/one"), EntryKind::Object { size: 1 }));
    remove(store, &["c/one", "c/none"]).await;
}

async fn an_object_is_created_once(store: &Store) {
    put(store, "once", "first").await.unwrap();
    for second in ["first", "other"] {
        assert_eq!(kind_of(put(store, "once", second).await), Some(ErrorKind::AlreadyExists));
    }
    assert_eq!(read(store, "once").await.unwrap(), b"first");
    remove(store, &["once"]).await;
}

async fn of_many_creators_one_wins(store: &Store) {
    let mut creators = tokio::task::JoinSet::new();
    for number in 0..16u8 {
        let store = Arc::clone(store);
        creators.spawn(async move {
            // Half of them at once, half as streams.
            let data = Bytes::from(vec![number; 100_000]);
            let done = match number % 2 {
                0 => store.put(&path("race/one"), data).await,
                _ => {
                    let mut upload = store.put_stream(&path("race/one")).await?;
                    upload.write(data).await?;
                    upload.finish().await
                }
            };
            done.map(|()| number)
        });
    }
    let results = creators.join_all().await;
    let winners: Vec<_> = results.iter().filter_map(|r| r.as_ref().ok()).collect();
    assert_eq!(winners.len(), 1, "exactly one creator wins");
    assert_eq!(read(store, "race/one").await.unwrap(), vec![*winners[0]; 100_000]);
    let losers = results.iter().filter_map(|r| r.as_ref().err());
    losers.for_each(|e| assert_eq!(e.kind(), ErrorKind::AlreadyExists, "{e}"));
    remove(store, &["race/one"]).await;
}

async fn streams_of_any_length_arrive_whole(store: &Store) {
    for len in [0, 1, 70_000, (1 << 20) - 1, 1 << 20, 9_500_001] {
        let data: Vec<u8> = (0..len).map(|i: usize| (i ^ (i >> 9)) as u8).collect();
        let mut upload = store.put_stream(&path("s/x")).await.unwrap();
        for chunk in data.chunks(300_001) {
            upload.write(Bytes::copy_from_slice(chunk)).await.unwrap();
        }
        assert_eq!(kind_of(store.stat(&path("s/x")).await), Some(ErrorKind::NotFound));
        upload.finish().await.unwrap();
        assert!(read(store, "s/x").await.unwrap() == data, "{len} bytes come back");
        remove(store, &["s/x"]).await;
    }
}

async fn an_upload_given_up_leaves_nothing(store: &Store) {
    for (len, abort) in [(10, true), (10, false), (6 << 20, true), (6 << 20, false)] {
        let mut upload = store.put_stream(&path("gone/x")).await.unwrap();
        upload.write(Bytes::from(vec![1; len])).await.unwrap();
        match abort {
            true => upload.abort().await.unwrap(),
            false => drop(upload),
        }
        assert_eq!(kind_of(store.get(&path("gone/x")).await), Some(ErrorKind::NotFound));
        let objects = store.list_prefix(&path("gone"), "").await.unwrap();
        assert!(objects.is_empty(), "{objects:?}");
    }
    put(store, "gone/x", "2").await.unwrap();
    remove(store, &["gone/x"]).await;
}

async fn a_taken_name_is_refused_at_the_end_of_a_stream(store: &Store) {
    let mut upload = store.put_stream(&path("taken/x")).await.unwrap();
    upload.write(Bytes::from(vec![1; 2 << 20])).await.unwrap();
    put(store, "taken/x", "mine").await.unwrap();
    assert_eq!(kind_of(upload.finish().await), Some(ErrorKind::AlreadyExists));
    assert_eq!(read(store, "taken/x").await.unwrap(), b"mine");
    remove(store, &["taken/x"]).await;
}

async fn ranges_are_exact(store: &Store) {
    put(store, "r", "0123456789").await.unwrap();
    let range = |r| async move { store.get_range(&path("r"), r).await };
    assert_eq!(range(0..10).await.unwrap(), "0123456789");
    assert_eq!(range(3..5).await.unwrap(), "34");
    assert_eq!(range(9..10).await.unwrap(), "9");
    assert_eq!(range(4..4).await.unwrap(), "");
    for past in [0..11, 9..12, 10..11, 20..30, 0..u64::MAX] {
        assert_eq!(kind_of(range(past.clone()).await), Some(ErrorKind::Truncated), "{past:?}");
    }
    remove(store, &["r"]).await;
}

async fn absence_is_not_found(store: &Store) {
    put(store, "here/x", "1").await.unwrap();
    for name in ["nothing", "no/such/object", "here", "here/x/below", "here/y"] {
        assert_eq!(kind_of(store.get(&path(name)).await), Some(ErrorKind::NotFound), "{name}");
        assert_eq!(kind_of(store.stat(&path(name)).await), Some(ErrorKind::NotFound), "{name}");
        let range = store.get_range(&path(name), 0..1).await;
        assert_eq!(kind_of(range), Some(ErrorKind::NotFound), "{name}");
    }
    assert_eq!(names(store, "no/such", true).await, [""; 0]);
    assert!(store.list_prefix(&path("no/such"), "x").await.unwrap().is_empty());
    remove(store, &["here/x"]).await;
}

async fn listings_show_what_is_there(store: &Store) {
    for name in ["l/b", "l/a/1", "l/a/2/x", "l/c", "m"] {
        put(store, name, "12345").await.unwrap();
    }
    assert_eq!(names(store, "", false).await, ["l", "m"]);
    assert_eq!(names(store, "l", false).await, ["l/a", "l/b", "l/c"]);
    let all = ["l/a", "l/a/1", "l/a/2", "l/a/2/x", "l/b", "l/c"];
    assert_eq!(names(store, "l", true).await, all);
    let entries = store.list(&path("l"), true).await.unwrap();
    for Entry { path, kind, .. } in entries {
        let expected = match path.as_str() {
            "l/a" | "l/a/2" => EntryKind::Directory,
            _ => EntryKind::Object { size: 5 },
        };
        assert_eq!(kind, expected, "{path}");
    }
    remove(store, &["l/b", "l/a/1", "l/a/2/x", "l/c", "m"]).await;
}

async fn prefixes_select_by_file_name(store: &Store) {
    let all = ["p/ab-1", "p/ab-2", "p/abc", "p/b", "p/ab-dir/x", "p2"];
    for name in all {
        put(store, name, "1").await.unwrap();
    }
    let select = |prefix| async move {
        let entries = store.list_prefix(&path("p"), prefix).await.unwrap();
        entries.into_iter().map(|e| e.path.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(select("ab-").await, ["p/ab-1", "p/ab-2"]);
    assert_eq!(select("").await, ["p/ab-1", "p/ab-2", "p/abc", "p/b"]);
    assert_eq!(select("x").await, [""; 0]);
    remove(store, &all).await;
}

async fn long_listings_are_complete_and_in_order(store: &Store) {
    let expected: Vec<String> = (0..1_203).map(|i| format!("many/{i:05}")).collect();
    let mut writers = tokio::task::JoinSet::new();
    for part in expected.chunks(200) {
        let (store, part) = (Arc::clone(store), part.to_vec());
        writers.spawn(async move {
            for name in part {
                store.put(&path(&name), Bytes::new()).await.unwrap();
            }
        });
    }
    writers.join_all().await;
    assert_eq!(names(store, "many", false).await, expected);
    assert_eq!(store.list_prefix(&path("many"), "0").await.unwrap().len(), expected.len());
    assert_eq!(store.list_prefix(&path("many"), "0120").await.unwrap().len(), 3);
    store.delete(&expected.iter().map(|n| path(n)).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(names(store, "many", true).await, [""; 0]);
}

async fn odd_names_are_kept(store: &Store) {
    let odd = [
        "with space",
        "quote'\"quote",
        "grün/ß",
        "100%",
        "a%2Fb",
        "plus+and&amp;",
        "q?x=1#f",
        "key=value",
        "back\\slash",
        "-dash",
        "~tilde",
        "semi;colon,comma",
        "$(echo)",
        ".hidden",
        "日本",
    ];
    for name in odd {
        store.put(&path(&format!("odd/{name}")), Bytes::from(name.to_owned())).await.unwrap();
    }
    for name in odd {
        assert_eq!(read(store, &format!("odd/{name}")).await.unwrap(), name.as_bytes());
    }
    let listed = names(store, "odd", true).await;
    assert!(listed.is_sorted(), "{listed:?}");
    for name in odd {
        assert!(listed.contains(&format!("odd/{name}")), "{name}: {listed:?}");
    }
    assert_eq!(store.list_prefix(&path("odd"), "a%").await.unwrap().len(), 1);
    store.delete(&odd.map(|name| path(&format!("odd/{name}")))).await.unwrap();
    assert_eq!(names(store, "odd", true).await, [""; 0]);
}

async fn deleting_is_idempotent_and_tidies_up(store: &Store) {
    for name in ["d/e/1", "d/e/2", "d/f/3", "d/g"] {
        put(store, name, "1").await.unwrap();
    }
    remove(store, &["d/e/1", "d/e/none", "no/such", "d/e/1"]).await;
    assert_eq!(names(store, "d", true).await, ["d/e", "d/e/2", "d/f", "d/f/3", "d/g"]);
    remove(store, &["d/e/2", "d/f/3"]).await;
    assert_eq!(names(store, "d", true).await, ["d/g"]);
    remove(store, &["d/g", "d/e/2"]).await;
    remove(store, &[]).await;
    assert_eq!(names(store, "", false).await, [""; 0]);
    put(store, "d/g", "again").await.unwrap();
    assert_eq!(read(store, "d/g").await.unwrap(), b"again");
    remove(store, &["d/g"]).await;
}
