//! Repositories in Azure Blob Storage, which Azurite stands for.

use std::time::Duration;

use bytes::Bytes;
use pgstrata::{
    storage::{
        ConnectionOptions, ObjectPath, Storage,
        azure::{self, AzureKey, AzureOptions},
        bucket::BucketStorage,
        requests::{RequestOptions, Requests, RetryPolicy},
    },
    types::Failure,
};

use crate::support::{
    ACCOUNT, Alone, Azurite, CONTAINER, Setting, bucket_site, documented, must_conform,
    on_one_version, tour,
};

/// All that an SAS needs to allow.
const PERMISSIONS: &str = "racwdl";

fn options(azurite: &Azurite, key: AzureKey) -> AzureOptions {
    AzureOptions {
        account: ACCOUNT.to_owned(),
        container: CONTAINER.to_owned(),
        key,
        account_in_host: false,
        connection: ConnectionOptions {
            endpoint: azurite.endpoint(),
            host: None,
            port: None,
            ca_file: None,
            ca_path: None,
            verify_tls: true,
            timeout: Duration::from_secs(30),
        },
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

/// Another host to connect to, which the emulator does not notice: the address that is signed stays the endpoint's.
#[test]
fn another_host_is_connected_to() {
    let azurite = Azurite::start();
    let mut options = options(&azurite, AzureKey::Shared(azurite.key()));
    options.connection.endpoint = "http://blob.example.org".to_owned();
    options.connection.host = Some("127.0.0.1".to_owned());
    options.connection.port = Some(azurite.port);
    let store = open(&options, "elsewhere");
    let path = ObjectPath::new("x").expect("a path");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        store.put(&path, Bytes::from_static(b"1")).await.expect("stored");
        assert_eq!(store.get_range(&path, 0..1).await.expect("read"), "1");
        store.delete(std::slice::from_ref(&path)).await.expect("deleted");
        assert!(store.stat(&path).await.expect_err("gone").is_not_found());
    });
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
    outcome.failed().says("the key is not what its key type says").never_says("secret!");
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
    run(&[authority("server.key")]).failed().says("there is no certificate in it");
    run(&[("repo1-storage-verify-tls", "n".to_owned())]).ok();
    let directory = alone.path().join("authorities");
    std::fs::create_dir(&directory).expect("writable");
    std::fs::copy(azurite.directory.join("ca.crt"), directory.join("1.pem")).expect("copied");
    run(&[("repo1-storage-ca-path", directory.display().to_string())]).ok();
}

#[test]
fn tags_are_refused() {
    let azurite = Azurite::start();
    let options = configured(&azurite, &[("repo1-storage-tag", "team=db".to_owned())]);
    Alone::new()
        .run(&options, &["repo-ls"])
        .failed()
        .says("repo1-storage-tag")
        .says("not supported");
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
