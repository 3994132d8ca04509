//! What is done once for all object stores: the whole conformance suite, lost answers, broken bodies, servers that
//! overwrite.

use std::{sync::Arc, time::Duration};

use super::{
    super::{
        ErrorKind, ObjectPath, Storage, conformance,
        requests::{RequestOptions, Requests},
    },
    in_memory::{Fault, InMemory, OF_ANOTHER},
    *,
};

fn storage(api: &InMemory, prefix: &str) -> BucketStorage {
    BucketStorage::new(api.clone(), prefix, Requests::new(&RequestOptions::default()))
}

fn path(text: &str) -> ObjectPath {
    ObjectPath::new(text).unwrap()
}

fn bytes(len: usize) -> Bytes {
    (0..len).map(|at| (at * 7 % 251) as u8).collect::<Vec<u8>>().into()
}

async fn read(storage: &BucketStorage, name: &str) -> Result<Vec<u8>> {
    let mut download = storage.get(&path(name)).await?;
    let mut whole = Vec::new();
    while let Some(chunk) = download.next().await? {
        whole.extend_from_slice(&chunk);
    }
    Ok(whole)
}

async fn write(storage: &BucketStorage, name: &str, data: &Bytes) -> Result<()> {
    let mut upload = storage.put_stream(&path(name)).await?;
    for chunk in data.chunks(10_000) {
        upload.write(Bytes::copy_from_slice(chunk)).await?;
    }
    upload.finish().await
}

#[tokio::test(start_paused = true)]
async fn every_promise_is_kept() {
    for prefix in ["", "/a/prefix"] {
        let api = InMemory::new();
        conformance::run_all(Arc::new(storage(&api, prefix))).await;
        assert!(api.state().uploads.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn every_promise_is_kept_on_a_server_that_overwrites_when_writers_are_one() {
    let mut api = InMemory::new();
    (api.honest, api.traits.put, api.traits.complete) =
        (false, CreateOnly::Unknown, CreateOnly::Unknown);
    let store = storage(&api, "");
    store.put(&path("a"), bytes(10)).await.unwrap();
    assert_eq!(api.state().requests, ["head", "put"], "a look, as long as nothing is known");
    store.put(&path("b"), bytes(10)).await.unwrap();
    assert_eq!(api.state().requests[2..], ["head", "put", "put"], "found out by putting it twice");
    let taken = store.put(&path("a"), bytes(9)).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    let taken = write(&store, "a", &bytes(300_000)).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    assert_eq!(read(&store, "a").await.unwrap(), bytes(10));
}

#[tokio::test(start_paused = true)]
async fn honest_server_is_found_out_too() {
    let mut api = InMemory::new();
    api.traits.put = CreateOnly::Unknown;
    let store = storage(&api, "");
    store.put(&path("large"), bytes(100_000)).await.unwrap();
    assert_eq!(api.state().requests, ["head", "put"], "a look, as long as nothing is known");
    store.put(&path("small"), bytes(10)).await.unwrap();
    store.put(&path("smaller"), bytes(9)).await.unwrap();
    assert_eq!(api.state().requests[2..], ["head", "put", "head", "put", "put"]);
    store.put(&path("more"), bytes(100_000)).await.unwrap();
    assert_eq!(api.state().requests[7..], ["put"]);
}

fn overwriting(traits: CreateOnly) -> InMemory {
    let mut api = InMemory::new();
    (api.honest, api.traits.put, api.traits.complete) = (false, traits, traits);
    api
}

#[tokio::test(start_paused = true)]
async fn the_first_put_on_a_server_that_overwrites_replaces_nothing() {
    let api = overwriting(CreateOnly::Unknown);
    api.state().objects.insert("a".into(), bytes(10));
    let taken = storage(&api, "").put(&path("a"), bytes(9)).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    assert_eq!(api.state().objects["a"], bytes(10));
}

#[tokio::test(start_paused = true)]
async fn every_attempt_on_a_server_that_overwrites_looks_first() {
    let api = overwriting(CreateOnly::NotKept);
    let store = storage(&api, "");
    api.state().faults = vec![("put", Fault::Overtaken), ("complete_parts", Fault::Overtaken)];
    let taken = store.put(&path("a"), bytes(9)).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    let taken = write(&store, "b", &bytes(300_000)).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    for name in ["a", "b"] {
        assert_eq!(read(&store, name).await.unwrap(), OF_ANOTHER);
    }
    // And what it finds may be what an attempt before it made.
    api.state().faults = vec![("put", Fault::FailAfter), ("complete_parts", Fault::FailAfter)];
    store.put(&path("c"), bytes(9)).await.unwrap();
    write(&store, "d", &bytes(300_000)).await.unwrap();
    assert_eq!(read(&store, "d").await.unwrap(), bytes(300_000));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_is_no_failure() {
    let api = InMemory::new();
    let store = storage(&api, "");
    api.state().faults = vec![("put", Fault::FailAfter)];
    store.put(&path("a"), bytes(10)).await.unwrap();
    api.state().faults = vec![("put_part", Fault::FailAfter), ("complete_parts", Fault::FailAfter)];
    write(&store, "b", &bytes(300_000)).await.unwrap();
    assert_eq!(read(&store, "b").await.unwrap(), bytes(300_000));
    // An object of another writer under the name is not ours.
    api.state().faults = vec![("put", Fault::Fail)];
    let taken = store.put(&path("a"), bytes(11)).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    api.state().faults = vec![("put", Fault::Fail)];
    let same_size = Bytes::from_static(b"0123456789");
    let taken = store.put(&path("a"), same_size).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    let mut same_size = bytes(300_000).to_vec();
    same_size[299_999] ^= 1;
    api.state().faults = vec![("complete_parts", Fault::Fail)];
    let taken = write(&store, "b", &same_size.into()).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_stays_away_is_waited_for_once() {
    let api = InMemory::new();
    let store = storage(&api, "");
    for request in ["begin_parts", "put_part", "complete_parts"] {
        api.state().faults = vec![(request, Fault::Fail); 1000];
        api.state().faults.extend(vec![("abort_parts", Fault::Fail); 1000]);
        let began = tokio::time::Instant::now();
        let error = write(&store, "a", &bytes(300_000)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transient);
        let took = began.elapsed();
        assert!(took < Duration::from_secs(150), "{request}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_may_take_its_time() {
    let api = InMemory::new();
    let store = storage(&api, "");
    store.put(&path("a"), bytes(100_000)).await.unwrap();
    api.state().faults = vec![("get", Fault::Break)];
    let mut download = store.get(&path("a")).await.unwrap();
    let first = download.next().await.unwrap().unwrap();
    // Longer than a request is tried again.
    tokio::time::sleep(Duration::from_secs(600)).await;
    let second = download.next().await.unwrap().unwrap();
    assert_eq!([first, second].concat(), bytes(100_000));
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_does_not_go_on_is_an_error() {
    let api = InMemory::new();
    let store = storage(&api, "");
    store.put(&path("a"), bytes(1)).await.unwrap();
    api.state().stuck = true;
    let error = store.list(&path(""), true).await.unwrap_err();
    assert!(error.to_string().contains("same page"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_goes_on_where_it_stopped() {
    let api = InMemory::new();
    let store = storage(&api, "");
    store.put(&path("a"), bytes(100_000)).await.unwrap();
    api.state().faults =
        vec![("get", Fault::Break), ("get", Fault::Cut), ("get", Fault::Fail), ("get", Fault::Cut)];
    assert_eq!(read(&store, "a").await.unwrap(), bytes(100_000));
    api.state().faults = vec![("get", Fault::Cut), ("get", Fault::Break)];
    let range = store.get_range(&path("a"), 5..90_000).await.unwrap();
    assert!(range == bytes(100_000)[5..90_000]);
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_fails_is_given_up() {
    let api = InMemory::new();
    let store = storage(&api, "");
    api.state().faults = vec![("put_part", Fault::Fail); 1000];
    let error = write(&store, "a", &bytes(300_000)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let state = api.state();
    assert!(state.uploads.is_empty() && state.objects.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_dead_writers_left_is_removed_when_it_is_old() {
    let api = InMemory::new();
    let store = storage(&api, "p");
    api.begin_parts("p/backup/db/x").await.unwrap();
    api.begin_parts("elsewhere").await.unwrap();
    let century = Duration::from_secs(100 * 366 * 86_400);
    assert_eq!(store.remove_stale(&path("backup"), century).await.unwrap(), 0);
    assert_eq!(store.remove_stale(&path("backup"), Duration::from_secs(60)).await.unwrap(), 1);
    assert_eq!(api.state().uploads.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_dead_writers_left_is_removed_page_by_page() {
    let api = InMemory::new();
    let store = storage(&api, "");
    for number in 0..8 {
        api.begin_parts(&format!("backup/{}", number % 2)).await.unwrap();
    }
    let minute = Duration::from_secs(60);
    api.state().faults = vec![("unfinished", Fault::Fail)];
    assert_eq!(store.remove_stale(&path("backup"), minute).await.unwrap(), 8);
    let requests = api.state().requests.clone();
    assert_eq!(requests.iter().filter(|name| **name == "unfinished").count(), 4);
    assert!(api.state().uploads.is_empty());
}

/// What came of a range is kept when the rest has to be asked for again.
#[tokio::test(start_paused = true)]
async fn a_range_that_breaks_off_goes_on_where_it_stopped() {
    let api = InMemory::new();
    let store = storage(&api, "");
    store.put(&path("x"), bytes(50_000)).await.unwrap();
    api.state().faults = vec![("get", Fault::Break), ("get", Fault::Cut)];
    let read = store.get_range(&path("x"), 1000..41_000).await.unwrap();
    assert_eq!(read, bytes(50_000)[1000..41_000]);
    assert_eq!(api.state().ranges, [1000..41_000, 21_000..41_000, 31_000..41_000]);
}

#[tokio::test]
async fn an_object_goes_whole_up_to_a_size_and_beyond_in_parts() {
    let mut api = InMemory::new();
    api.traits.whole_max = 200_000;
    let store = storage(&api, "");
    write(&store, "whole", &bytes(200_000)).await.unwrap();
    assert_eq!(api.state().requests, ["put"]);
    write(&store, "parts", &bytes(200_001)).await.unwrap();
    let parts = api.state().requests.iter().filter(|request| **request == "put_part").count();
    assert_eq!(parts, 4);
    for name in ["whole", "parts"] {
        let size = if name == "whole" { 200_000 } else { 200_001 };
        assert!(store.get_range(&path(name), 0..size).await.unwrap() == bytes(size as usize));
    }
}

#[tokio::test(start_paused = true)]
async fn objects_that_are_deleted_one_by_one_use_all_requests_there_are() {
    let mut api = InMemory::new();
    (api.traits.delete_max, api.a_delete_takes) = (1, Duration::from_secs(1));
    let requests = Requests::new(&RequestOptions { at_once_max: 32, ..RequestOptions::default() });
    let store = BucketStorage::new(api.clone(), "", requests);
    let paths: Vec<ObjectPath> = (0..64).map(|n| path(&n.to_string())).collect();
    let began = tokio::time::Instant::now();
    store.delete(&paths).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 2);
}
