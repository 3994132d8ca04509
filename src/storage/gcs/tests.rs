//! What options make of a bucket.

use std::time::Duration;

use super::*;
use crate::{
    storage::{Storage, requests::RequestOptions},
    types::Failure,
};

fn options(key: GcsKey) -> GcsOptions {
    GcsOptions {
        bucket: "pg".into(),
        key,
        user_project: None,
        tags: Vec::new(),
        connection: ConnectionOptions {
            endpoint: "storage.googleapis.com".into(),
            host: None,
            port: None,
            ca_file: None,
            ca_path: None,
            verify_tls: true,
            timeout: Duration::from_secs(60),
        },
        part_size: None,
    }
}

fn opened(options: &GcsOptions) -> Result<BucketStorage> {
    open(options, "/prefix", Requests::new(&RequestOptions::default()))
}

#[test]
fn token_opens_without_a_request_and_is_not_shown() {
    let options = options(GcsKey::Token("SECRET".into()));
    let storage = opened(&options).unwrap();
    assert_eq!(storage.location(), "gs://pg/prefix");
    assert!(!format!("{options:?} {storage:?}").contains("SECRET"));
}

#[test]
fn file_that_is_no_key_is_named_and_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key.json");
    let missing = opened(&options(GcsKey::Service(file.clone()))).unwrap_err();
    assert!(missing.to_string().contains("key.json") && missing.hint().is_some(), "{missing}");
    std::fs::write(&file, r#"{"private_key": "SECRET"}"#).unwrap();
    let wrong = opened(&options(GcsKey::Service(file))).unwrap_err();
    assert!(!format!("{wrong} {wrong:?}").contains("SECRET"), "{wrong}");
}

#[test]
fn project_must_fit_a_header() {
    let options =
        GcsOptions { user_project: Some("a\nb".into()), ..options(GcsKey::Token("t".into())) };
    assert!(opened(&options).unwrap_err().to_string().contains("project"));
}
