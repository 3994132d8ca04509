//! Repositories in Google Cloud Storage, which a server of the tests stands for.

use std::time::{Duration, Instant};

use bytes::Bytes;
use pgstrata::storage::{
    ConnectionOptions, EntryKind, ErrorKind, ObjectPath, Storage,
    bucket::BucketStorage,
    gcs::{self, GcsKey, GcsOptions},
    http::HttpOptions,
    requests::{RequestOptions, Requests, RetryPolicy},
};

use crate::support::{
    Alone, Setting, as_server_user, bucket_site, documented,
    gcs::{BUCKET, GcsServer, TOKEN},
    give_to_server_user,
    http::Answer,
    must_conform, on_one_version, program, run, tour,
};

fn options(server: &GcsServer) -> GcsOptions {
    GcsOptions {
        bucket: BUCKET.to_owned(),
        key: GcsKey::Token(TOKEN.to_owned()),
        user_project: None,
        tags: Vec::new(),
        connection: ConnectionOptions {
            endpoint: server.endpoint(),
            host: None,
            port: None,
            http: HttpOptions::default(),
        },
        part_size: Some(1),
    }
}

fn open(options: &GcsOptions, prefix: &str) -> BucketStorage {
    let requests = RequestOptions {
        retry: RetryPolicy { deadline: Duration::from_secs(10), ..RetryPolicy::default() },
        ..RequestOptions::default()
    };
    gcs::open(options, prefix, Requests::new(&requests)).expect("opened")
}

fn configured(server: &GcsServer, more: &[Setting]) -> Vec<Setting> {
    let mut all = server.options();
    all.retain(|(name, _)| more.iter().all(|(other, _)| name != other));
    all.extend(more.iter().cloned());
    all
}

fn path(text: &str) -> ObjectPath {
    ObjectPath::new(text).expect("a path")
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(work)
}

#[test]
fn promises_of_a_storage_are_kept() {
    let server = GcsServer::start();
    must_conform(open(&options(&server), "a/prefix"));
    assert_eq!(server.uploads(), 0, "uploads that were given up are gone");
}

#[test]
fn key_of_a_service_account_opens_the_bucket() {
    let server = GcsServer::start();
    let alone = Alone::new();
    let service = |file: std::path::PathBuf| {
        let file = ("repo1-gcs-key", file.display().to_string());
        let options = configured(&server, &[("repo1-gcs-key-type", "service".to_owned()), file]);
        alone.run(&options, &["repo-ls"])
    };
    service(server.service_account(alone.path())).ok();
    let wrong = service(server.wrong_service_account(alone.path())).failed();
    wrong.says("401 AuthenticationRequired").never_says("PRIVATE KEY");
    let missing = service(alone.path().join("nowhere.json")).failed();
    missing.says("the file that repoN-gcs-key names").says("HINT").never_says("nowhere.json");
}

#[test]
fn wrong_token_is_a_clear_error_without_the_token() {
    let server = GcsServer::start();
    let wrong = "ya29.wrong-and-secret";
    let options = configured(&server, &[("repo1-gcs-key", wrong.to_owned())]);
    let outcome = Alone::new().run(&options, &["repo-ls"]).failed();
    outcome.says("401 AuthenticationRequired").never_says(wrong).within_ms(20_000);
}

#[test]
fn missing_bucket_is_no_empty_repository() {
    let server = GcsServer::start();
    let options = configured(&server, &[("repo1-gcs-bucket", "nowhere".to_owned())]);
    let alone = Alone::new();
    for arguments in [&["repo-ls"][..], &["repo-get", "backup/db/x"]] {
        let outcome = alone.run(&options, arguments);
        outcome.failed().says("the bucket 'nowhere' does not exist").says("HINT");
    }
    alone.run(&options, &["info"]).says("the bucket 'nowhere' does not exist");
}

/// The store does not say in answer to a HEAD whether it is the object or the bucket that is missing.
#[test]
fn a_look_is_one_request_that_proves_absence() {
    let server = GcsServer::start();
    let store = open(&options(&server), "");
    let kind = |store: &BucketStorage| block_on(store.stat(&path("x"))).expect_err("absent").kind();
    assert_eq!(kind(&store), ErrorKind::NotFound);
    assert_eq!(server.seen().len(), 1, "{:?}", server.seen());
    block_on(store.put(&path("y"), Bytes::from_static(b"12"))).expect("stored");
    let kind_of = |name: &str| block_on(store.stat(&path(name))).expect("there").kind;
    assert_eq!(kind_of("y"), EntryKind::Object { size: 2 });
    assert_eq!(server.seen().len(), 3, "{:?}", server.seen());
    block_on(store.put(&path("empty"), Bytes::new())).expect("stored");
    assert_eq!(kind_of("empty"), EntryKind::Object { size: 0 });
    let nowhere = GcsOptions { bucket: "nowhere".to_owned(), ..options(&server) };
    assert_eq!(kind(&open(&nowhere, "")), ErrorKind::Other);
}

#[test]
fn busy_store_is_waited_for_as_long_as_it_asks() {
    let server = GcsServer::start();
    let store = open(&options(&server), "");
    server.answer_next(vec![
        Answer::new(503, "").with("Retry-After", 1),
        Answer::new(429, "<Error><Code>SlowDown</Code></Error>"),
    ]);
    let began = Instant::now();
    block_on(store.put(&path("x"), Bytes::from_static(b"1"))).expect("stored in the end");
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(server.seen().len(), 3, "each request once: the crate does not retry");
    // Longer than it is waited at all.
    server.answer_next(vec![Answer::new(503, "").with("Retry-After", 3600)]);
    let error = block_on(store.stat(&path("x"))).expect_err("busy");
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
}

/// Who leads elsewhere may read what is stored and say that it was.
#[test]
fn redirect_is_not_followed() {
    let (server, elsewhere) = (GcsServer::start(), GcsServer::start());
    server.answer_next(vec![Answer::new(302, "").with("Location", elsewhere.endpoint())]);
    let error = block_on(open(&options(&server), "").stat(&path("x"))).expect_err("led away");
    assert_eq!(error.kind(), ErrorKind::Other);
    assert!(error.to_string().contains("the store answered 302"), "{error}");
    assert!(elsewhere.seen().is_empty());
}

#[test]
fn proxy_of_the_environment_is_not_used() {
    let server = GcsServer::start();
    let nobody = format!("http://127.0.0.1:{}", crate::support::http::free_port());
    let alone = Alone::new();
    alone.run(&configured(&server, &[]), &["repo-ls"]).ok();
    let config = alone.path().join("pgstrata.conf");
    let mut command = as_server_user(program());
    command.arg(format!("--config={}", config.display())).args(["--stanza=db", "repo-ls"]);
    run(command.env("http_proxy", &nobody).env("all_proxy", &nobody)).ok();
}

/// The address of the store stays the endpoint's.
#[test]
fn another_host_is_connected_to() {
    let server = GcsServer::start();
    let mut options = options(&server);
    options.connection.endpoint = "storage.example.org".to_owned();
    options.connection.host = Some("http://127.0.0.1".to_owned());
    options.connection.port = Some(server.port);
    let store = open(&options, "elsewhere");
    block_on(store.put(&path("x"), Bytes::from_static(b"1"))).expect("stored");
    assert_eq!(server.keys(), ["elsewhere/x"]);
    assert!(server.seen().iter().all(|line| line.contains("host=storage.example.org ")));
}

#[test]
fn host_that_does_not_answer_is_transient() {
    let server = GcsServer::start();
    let mut options = options(&server);
    options.connection.endpoint = format!("http://127.0.0.1:{}", crate::support::http::free_port());
    let error = block_on(open(&options, "").stat(&path("x"))).expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert!(error.to_string().contains("the connection failed: "), "{error}");
}

#[test]
fn project_and_tags_go_with_the_requests() {
    let server = GcsServer::start();
    let options = GcsOptions {
        user_project: Some("who-pays".to_owned()),
        tags: vec![("team".to_owned(), "db".to_owned())],
        ..options(&server)
    };
    let store = open(&options, "");
    block_on(async {
        store.put(&path("x"), Bytes::from_static(b"1")).await.expect("stored");
        let mut upload = store.put_stream(&path("y")).await.expect("begun");
        upload.write(Bytes::from(vec![7; 6 << 20])).await.expect("written");
        upload.finish().await.expect("stored");
    });
    let seen = server.seen();
    assert!(seen.iter().all(|line| line.contains("project=who-pays")), "{seen:?}");
    let creating = seen.iter().filter(|line| line.ends_with("tag=db"));
    assert_eq!(creating.count(), 2, "{seen:?}");
    assert_eq!(server.keys(), ["x", "y"]);
}

#[test]
fn secret_is_not_in_debug_output() {
    let server = GcsServer::start();
    let options = options(&server);
    let shown = format!("{options:?} {:?}", open(&options, "x"));
    assert!(!shown.contains(TOKEN), "{shown}");
}

on_one_version! {
    fn documented_configuration_does_everything(version) {
        let server = GcsServer::start();
        let directory = tempfile::tempdir().expect("a directory");
        give_to_server_user(directory.path());
        let key = server.service_account(directory.path());
        let ours = [
            ("repo1-gcs-bucket", BUCKET.to_owned()),
            ("repo1-gcs-key", key.display().to_string()),
        ];
        let options = documented("gcs.md", &ours, &[
            ("repo1-gcs-endpoint", server.endpoint()),
            // So that objects have parts.
            ("repo1-storage-upload-chunk-size", "5MiB".to_owned()),
            ("compress-type", "none".to_owned()),
        ]);
        let site = bucket_site(version, &options);
        tour(&site, "PRIVATE KEY");
        assert_eq!(server.uploads(), 0);
    }
}
