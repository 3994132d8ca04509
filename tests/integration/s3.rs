//! A repository in S3: on a server in the process, over TLS, and on moto.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc, time::Duration};

use pgstrata::{
    repo::stanza::StanzaHistory,
    storage::{
        ObjectPath, Storage,
        bucket::BucketStorage,
        conformance,
        http::HttpOptions,
        requests::{RequestOptions, Requests, RetryPolicy},
        s3::{Encryption, KeySource, S3Api, S3Options},
    },
    types::{Secret, UriStyle},
};
use serde_json::Value;

use crate::support::{
    Moto, S3Server, Setting, documented, exit, give_to_server_user, on_one_version, remote_site,
    run, tour,
};

/// Parts of this size are small enough for the suite to be quick; S3 itself takes none below 5 MiB.
const PART_SIZE: usize = 5 << 20;

fn s3_options(endpoint: &str, key: &str, secret: &str) -> S3Options {
    S3Options {
        bucket: S3Server::BUCKET.into(),
        endpoint: endpoint.into(),
        host: None,
        port: None,
        region: "us-east-1".into(),
        service: "s3".into(),
        style: UriStyle::Path,
        keys: KeySource::Shared { key: Secret::new(key), secret: Secret::new(secret), token: None },
        encryption: Encryption::Default,
        storage_class: None,
        tags: Vec::new(),
        requester_pays: false,
        lock: None,
        part_size: Some(PART_SIZE),
        http: HttpOptions::default(),
    }
}

fn options_for(server: &S3Server) -> S3Options {
    S3Options {
        host: Some("127.0.0.1".into()),
        port: Some(server.port),
        http: HttpOptions { ca_file: Some(server.authority("ca")), ..HttpOptions::default() },
        ..s3_options(S3Server::HOST, S3Server::KEY, S3Server::SECRET)
    }
}

fn storage(options: S3Options) -> Arc<dyn Storage> {
    let api = S3Api::new(options).expect("good options");
    let retry = RetryPolicy { deadline: Duration::from_secs(20), ..RetryPolicy::default() };
    let requests = Requests::new(&RequestOptions { retry, ..RequestOptions::default() });
    Arc::new(BucketStorage::new(api, "/a/repository", requests))
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

/// What is wrong with a storage, told by a read.
fn error_of(storage: &Arc<dyn Storage>, name: &str) -> pgstrata::storage::Error {
    block_on(storage.stat(&ObjectPath::new(name).expect("a path"))).expect_err("it cannot be read")
}

#[test]
fn conformance_on_a_server_that_speaks_tls() {
    let server = S3Server::start();
    for style in [UriStyle::Path, UriStyle::Host] {
        block_on(conformance::run_all(storage(S3Options { style, ..options_for(&server) })));
    }
}

#[test]
fn conformance_on_moto() {
    let moto = Moto::start();
    let options = S3Options {
        bucket: Moto::PLAIN_BUCKET.into(),
        encryption: Encryption::Aes256,
        tags: vec![("kind".into(), "a test + more".into())],
        ..s3_options(&moto.endpoint(), "test", "test")
    };
    block_on(conformance::run_all(storage(options)));
}

#[test]
fn a_missing_bucket_is_not_a_missing_object() {
    let moto = Moto::start();
    let there = s3_options(&moto.endpoint(), "test", "test");
    assert!(error_of(&storage(there.clone()), "x").is_not_found());
    let error = error_of(&storage(S3Options { bucket: "no-such-bucket".into(), ..there }), "x");
    assert!(!error.is_not_found() && error.to_string().contains("NoSuchBucket"), "{error}");
}

fn with(options: Vec<Setting>, name: &'static str, value: &str) -> Vec<Setting> {
    let mut options: Vec<_> = options.into_iter().filter(|(other, _)| *other != name).collect();
    options.push((name, value.to_owned()));
    options
}

on_one_version! {
    /// What the page shows works as it stands there, but for where the server is.
    fn documented_configuration_does_everything(version) {
        let server = S3Server::start();
        let mut reach = server.options();
        reach.retain(|(name, _)| name.starts_with("repo1-storage-"));
        reach.extend([
            ("repo1-s3-uri-style", "path".to_owned()),
            ("repo1-path", "/a/repository".to_owned()),
        ]);
        let options = documented("s3.md", &server.options(), &reach);
        let site = remote_site(version, &options).build();
        tour(&site, S3Server::SECRET);
        assert!(site.repository_files("").is_empty(), "nothing is kept here");
        site.primary.stop();
        site.run(&["stop"]).ok();
        site.run(&["--repo=1", "stanza-delete", "--force"]).ok();
        block_on(async {
            let all = storage(options_for(&server)).list(&ObjectPath::root(), true).await;
            assert!(all.expect("a listing").is_empty());
        });
    }

    fn a_repository_on_moto(version) {
        let moto = Moto::start();
        let mut options = moto.options();
        options.extend([
            ("repo1-s3-object-lock-mode", "governance".to_owned()),
            ("repo1-s3-object-lock-days", "7".to_owned()),
            ("repo1-s3-sse", "aes256".to_owned()),
            ("repo1-s3-storage-class", "STANDARD_IA".to_owned()),
            ("repo1-storage-tag", "team=db + co".to_owned()),
            ("repo1-storage-upload-chunk-size", "5MiB".to_owned()),
            ("repo1-s3-token", "the-token".to_owned()),
        ]);
        let site = remote_site(version, &options).option("compress-type", "none").build();
        tour(&site, "the-token");
        objects_are_as_configured(&moto);
    }
}

fn objects_are_as_configured(moto: &Moto) {
    let printed = moto.python(
        "for page in s3.get_paginator('list_objects_v2').paginate(Bucket='backups'):\n  \
           for o in page['Contents']:\n    \
             h = s3.head_object(Bucket='backups', Key=o['Key'])\n    \
             t = s3.get_object_tagging(Bucket='backups', Key=o['Key'])['TagSet']\n    \
             print(json.dumps([o['Key'], h['ETag'], h.get('ServerSideEncryption'),\n      \
               h.get('StorageClass'), h.get('ObjectLockMode'), t]))\n",
    );
    let objects: Vec<Value> =
        printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(objects.len() > 5, "{printed}");
    // The digest of an upload in parts says how many there were.
    let in_parts = |object: &Value| object[1].as_str().is_some_and(|tag| tag.contains('-'));
    for object in &objects {
        assert_eq!(object[2], "AES256", "{object}");
        assert_eq!(object[3], "STANDARD_IA", "{object}");
        // This server forgets the lock that an upload in parts began with; that it is asked for is tested elsewhere.
        assert!(object[4] == "GOVERNANCE" || in_parts(object), "{object}");
        assert_eq!(object[5][0]["Value"], "db + co", "{object}");
    }
    assert!(objects.iter().any(in_parts), "an object was sent in parts");
}

on_one_version! {
    fn what_is_wrong_with_the_configuration_is_told(version) {
        let server = S3Server::start();
        let cases: [(&'static str, &str, &str); 4] = [
            ("repo1-s3-key-secret", "another-secret", "SignatureDoesNotMatch"),
            ("repo1-s3-bucket", "no-such-bucket", "NoSuchBucket"),
            ("repo1-storage-ca-file", "", "invalid peer certificate"),
            ("repo1-storage-host", "localhost", "invalid peer certificate"),
        ];
        let other = server.authority("other").display().to_string();
        for (name, value, expected) in cases {
            let value = if value.is_empty() { &other } else { value };
            let options = with(server.options(), name, value);
            let site = remote_site(version, &options).without_archiving().build_without_stanza();
            site.run(&["stanza-create"])
                .failed()
                .says(expected)
                .says("HINT")
                .never_says(S3Server::SECRET)
                .never_says("another-secret")
                .within_ms(20_000);
        }
        let site = remote_site(version, &with(server.options(), "repo1-storage-verify-tls", "n"))
            .option("repo1-storage-ca-path", "/no/such/path")
            .without_archiving()
            .build_without_stanza();
        site.run(&["stanza-create"]).ok();
        site.configure("repo1-s3-kms-key-id=k\nrepo1-s3-sse=aes256");
        site.run(&["info"])
            .code(exit::OPTION_INVALID)
            .says("repo1-s3-sse");
    }

    fn a_program_prints_the_keys(version) {
        let server = S3Server::start();
        let options = with(server.options(), "repo1-s3-key-type", "process");
        let options: Vec<_> = options
            .into_iter()
            .filter(|(name, _)| !["repo1-s3-key", "repo1-s3-key-secret"].contains(name))
            .collect();
        let site = remote_site(version, &options).without_archiving();
        let site = site.build_without_stanza();
        let keys = site.dir.path().join("keys");
        let (key, secret) = (S3Server::KEY, S3Server::SECRET);
        write_program(&keys, &format!(
            "#!/bin/sh\necho '{{\"Version\":1,\"AccessKeyId\":\"{key}\",\"SecretAccessKey\":\"{secret}\"}}'\n"
        ));
        site.configure(&format!("repo1-s3-process-cmd={}", keys.display()));
        site.run(&["stanza-create"]).ok();
        write_program(&keys, &format!("#!/bin/sh\necho '{secret}'\n"));
        site.run(&["stanza-create"]).failed().says("AccessKeyId").never_says(secret);
    }

    fn the_token_service_gives_the_keys(version) {
        let moto = Moto::start();
        let mut options = with(moto.options(), "repo1-s3-key-type", "web-id");
        options.push(("repo1-s3-sts-host", moto.endpoint()));
        let site = remote_site(version, &options).without_archiving().build_without_stanza();
        let token = site.dir.path().join("token");
        fs::write(&token, "a.web.token").expect("writable");
        give_to_server_user(&token);
        let mut command = site.command(&["stanza-create"]);
        run(&mut command).code(exit::OPTION_REQUIRED).says("AWS_ROLE_ARN");
        command.env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/backup");
        command.env("AWS_WEB_IDENTITY_TOKEN_FILE", &token);
        run(&mut command).ok();
    }
}

fn write_program(path: &PathBuf, text: &str) {
    fs::write(path, text).expect("writable");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("own file");
    give_to_server_user(path);
}

#[test]
fn a_repository_of_pgbackrest_in_a_bucket_is_named_for_what_it_is() {
    let server = S3Server::start();
    let storage = storage(options_for(&server));
    let stanza = "demo".parse().expect("a stanza");
    block_on(async {
        let object = ObjectPath::new("archive/demo/archive.info").expect("a path");
        storage.put(&object, "[backrest]\n".into()).await.expect("written");
        let error = StanzaHistory::read(&*storage, &stanza).await.expect_err("not ours");
        assert!(error.to_string().contains("a pgBackRest repository"), "{error}");
    });
}
