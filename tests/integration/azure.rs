//! Repositories in Azure Blob Storage, which Azurite stands for.

use std::{fs, io::BufReader, net::TcpListener, time::Duration};

use bytes::Bytes;
use pgstrata::{
    storage::{
        ConnectionOptions, ObjectPath, Storage,
        azure::{self, AzureKey, AzureOptions},
        bucket::BucketStorage,
        http::HttpOptions,
        requests::{RequestOptions, Requests, RetryPolicy},
    },
    types::{Failure, UriStyle},
};

use crate::support::{
    ACCOUNT, Alone, Azurite, CONTAINER, Setting, bucket_site, documented,
    http::{Answer, Request},
    must_conform, on_one_version, tour,
};

/// All that an SAS needs to allow.
const PERMISSIONS: &str = "racwdl";

fn options(azurite: &Azurite, key: AzureKey) -> AzureOptions {
    AzureOptions {
        account: ACCOUNT.to_owned(),
        container: CONTAINER.to_owned(),
        key,
        uri_style: UriStyle::Path,
        connection: ConnectionOptions {
            endpoint: azurite.endpoint(),
            host: None,
            port: None,
            http: HttpOptions::default(),
        },
        tags: Vec::new(),
        part_size: Some(1 << 20),
    }
}

fn open(options: &AzureOptions, prefix: &str) -> BucketStorage {
    let requests = RequestOptions {
        retry: RetryPolicy { deadline: Duration::from_secs(10), ..RetryPolicy::default() },
        ..RequestOptions::default()
    };
    azure::open(options, prefix, Requests::new(&requests)).expect("opened")
}

fn configured(azurite: &Azurite, more: &[Setting]) -> Vec<Setting> {
    let mut all = azurite.options();
    all.retain(|(name, _)| more.iter().all(|(other, _)| name != other));
    all.extend(more.iter().cloned());
    all
}

#[test]
fn promises_of_a_storage_are_kept_with_the_accounts_key() {
    let azurite = Azurite::start();
    must_conform(open(&options(&azurite, AzureKey::Shared(azurite.key())), "a/prefix"));
}

#[test]
fn promises_of_a_storage_are_kept_with_a_signature() {
    let azurite = Azurite::start();
    let sas = azurite.sas(PERMISSIONS);
    must_conform(open(&options(&azurite, AzureKey::Sas(sas)), ""));
}

/// As pgBackRest's configurations for Azurite have it: the host and nothing else.
#[test]
fn another_host_takes_the_place_of_the_endpoint() {
    let azurite = Azurite::start();
    let mut options = configured(&azurite, &[("repo1-storage-host", azurite.endpoint())]);
    options.retain(|(name, _)| !["repo1-azure-endpoint", "repo1-azure-uri-style"].contains(name));
    let alone = Alone::new();
    alone.run(&options, &["repo-ls"]).ok();
    // A port goes before that of the host.
    let port = ("repo1-storage-port", azurite.port.to_string());
    let host = ("repo1-storage-host", "http://127.0.0.1:1".to_owned());
    options.retain(|(name, _)| *name != host.0);
    options.extend([host, port]);
    alone.run(&options, &["repo-ls"]).ok();
}

/// The crate gives none to objects of several blocks.
#[test]
fn tags_are_those_of_every_new_object() {
    let azurite = Azurite::start();
    let tagged = |key| AzureOptions {
        tags: vec![("team".into(), "data base".into()), ("env".into(), "test".into())],
        ..options(&azurite, key)
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let sas = azurite.sas(&format!("{PERMISSIONS}t"));
    for (prefix, key) in [("a", AzureKey::Shared(azurite.key())), ("b", AzureKey::Sas(sas))] {
        let store = open(&tagged(key), prefix);
        runtime.block_on(async {
            let path = |text| ObjectPath::new(text).expect("a path");
            store.put(&path("x"), Bytes::from_static(b"1")).await.expect("stored");
            let mut upload = store.put_stream(&path("y")).await.expect("begun");
            upload.write(Bytes::from(vec![7; 3 << 20])).await.expect("written");
            upload.finish().await.expect("stored");
        });
        for name in ["x", "y"] {
            let tags = azurite.tags(&format!("{prefix}/{name}"));
            for (key, value) in [("team", "data base"), ("env", "test")] {
                let tag = format!("<Key>{key}</Key><Value>{value}</Value>");
                assert!(tags.contains(&tag), "{prefix}/{name}: {tags}");
            }
        }
    }
}

/// Azure's other clouds have authorities of their own.
#[test]
fn token_of_a_workload_is_exchanged_by_the_authority_that_is_named() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let asked = std::thread::spawn(move || {
        let mut connection = BufReader::new(listener.accept().expect("a connection").0);
        let request = Request::read(&mut connection).expect("a request");
        let answer = Answer::new(400, r#"{"error": "invalid_client"}"#);
        answer.send(connection.get_mut(), &request.method).expect("answered");
        format!("{} {}", request.method, request.path)
    });
    let alone = Alone::new();
    let token_file = alone.path().join("token");
    fs::write(&token_file, "a token").expect("written");
    let key = AzureKey::Workload {
        client_id: "client".into(),
        tenant_id: "tenant".into(),
        token_file,
        authority: Some(format!("http://127.0.0.1:{port}/")),
    };
    let connection = ConnectionOptions {
        endpoint: "http://127.0.0.1:1".into(),
        host: None,
        port: None,
        http: HttpOptions::default(),
    };
    let store = open(
        &AzureOptions {
            account: ACCOUNT.into(),
            container: CONTAINER.into(),
            key,
            uri_style: UriStyle::Path,
            connection,
            tags: Vec::new(),
            part_size: None,
        },
        "",
    );
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let path = ObjectPath::new("x").expect("a path");
    let error = runtime.block_on(store.stat(&path)).expect_err("no token");
    assert!(error.to_string().contains("400 invalid_client"), "{error}");
    assert_eq!(asked.join().expect("answered"), "POST /tenant/oauth2/v2.0/token");
}

#[test]
fn wrong_key_is_a_clear_error_without_the_key() {
    let azurite = Azurite::start();
    let alone = Alone::new();
    let wrong = "d3JvbmcgYW5kIHNlY3JldA==";
    let outcome =
        alone.run(&configured(&azurite, &[("repo1-azure-key", wrong.to_owned())]), &["repo-ls"]);
    outcome.failed().says("403").says("AuthorizationFailure").never_says(wrong).within_ms(20_000);
    let no_key = "no base64 but secret!";
    let outcome =
        alone.run(&configured(&azurite, &[("repo1-azure-key", no_key.to_owned())]), &["repo-ls"]);
    outcome.failed().says("the key does not match its key type").never_says("secret!");
}

#[test]
fn sas_that_allows_too_little_is_a_clear_error_without_it() {
    let azurite = Azurite::start();
    let sas = azurite.sas("r");
    let signature = sas.split_once("sig=").expect("signed").1.to_owned();
    let more = [("repo1-azure-key-type", "sas".to_owned()), ("repo1-azure-key", sas)];
    let outcome = Alone::new().run(&configured(&azurite, &more), &["repo-ls"]);
    outcome.failed().says("403").never_says(&signature).never_says("sig=");
}

#[test]
fn missing_container_is_no_empty_repository() {
    let azurite = Azurite::start();
    let options = configured(&azurite, &[("repo1-azure-container", "nowhere".to_owned())]);
    let alone = Alone::new();
    for arguments in [&["repo-ls"][..], &["repo-get", "backup/db/x"]] {
        let outcome = alone.run(&options, arguments);
        outcome.failed().says("the container 'nowhere' does not exist").says("HINT");
    }
    alone.run(&options, &["info"]).says("the container 'nowhere' does not exist");
}

#[test]
fn unknown_authority_is_refused_at_once() {
    let azurite = Azurite::start_with_tls();
    let alone = Alone::new();
    let run = |more: &[Setting]| alone.run(&configured(&azurite, more), &["repo-ls"]);
    run(&[]).failed().says("certificate").says("repoN-storage-ca-file").within_ms(20_000);
    let authority = |name: &str| {
        let path = azurite.directory.join(name).display().to_string();
        ("repo1-storage-ca-file", path)
    };
    run(&[authority("other.crt")]).failed().says("certificate");
    run(&[authority("ca.crt")]).ok();
    run(&[authority("server.key")]).failed().says("it contains no certificate");
    run(&[("repo1-storage-verify-tls", "n".to_owned())]).ok();
    let directory = alone.path().join("authorities");
    fs::create_dir(&directory).expect("writable");
    fs::copy(azurite.directory.join("ca.crt"), directory.join("1.pem")).expect("copied");
    let below = ("repo1-storage-ca-path", directory.display().to_string());
    run(std::slice::from_ref(&below)).ok();
    // What else lies there is passed over; nothing but that is no directory of authorities.
    let broken = "-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n";
    fs::write(directory.join("0.pem"), broken).expect("written");
    run(std::slice::from_ref(&below)).ok();
    fs::remove_file(directory.join("1.pem")).expect("removed");
    run(&[below]).failed().says("no file in it contains a certificate");
    // The certificate is that of the host that is connected to.
    let elsewhere = ("repo1-azure-endpoint", "blob.example.org".to_owned());
    let host = ("repo1-storage-host", azurite.endpoint());
    run(&[elsewhere, host, authority("ca.crt")]).ok();
}

#[test]
fn secret_is_not_in_debug_output() {
    let azurite = Azurite::start();
    let options = options(&azurite, AzureKey::Shared(azurite.key()));
    let shown = format!("{options:?} {:?}", open(&options, "x"));
    assert!(!shown.contains(&azurite.key()), "{shown}");
    let wrong = AzureOptions { key: AzureKey::Shared("%secret%".into()), ..options };
    let refused = azure::open(&wrong, "x", Requests::new(&RequestOptions::default()));
    let refused = refused.expect_err("no base64");
    assert!(!format!("{refused:?} {refused} {:?}", refused.hint()).contains("secret"));
}

on_one_version! {
    fn documented_configuration_does_everything(version) {
        let azurite = Azurite::start();
        let options = documented("azure.md", &azurite.options(), &[
            ("repo1-azure-endpoint", azurite.endpoint()),
            ("repo1-azure-uri-style", "path".to_owned()),
            // Small, so that objects have parts.
            ("repo1-storage-upload-chunk-size", "256KiB".to_owned()),
        ]);
        tour(&bucket_site(version, &options), &azurite.key());
    }

    fn sas_over_tls_does_everything(version) {
        let azurite = Azurite::start_with_tls();
        let sas = azurite.sas(PERMISSIONS);
        let signature = sas.split_once("sig=").expect("signed").1.to_owned();
        let site = bucket_site(version, &configured(&azurite, &[
            ("repo1-azure-key-type", "sas".to_owned()),
            ("repo1-azure-key", sas),
            ("repo1-storage-ca-file", azurite.directory.join("ca.crt").display().to_string()),
            ("repo1-storage-upload-chunk-size", "256KiB".to_owned()),
        ]));
        tour(&site, &signature);
    }
}
