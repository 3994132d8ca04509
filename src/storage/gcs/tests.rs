//! What options make of a bucket.

use super::*;
use crate::{
    storage::{Storage, http::HttpOptions, requests::RequestOptions},
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
            http: HttpOptions::default(),
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
fn file_that_is_no_key_is_told_of_by_its_option_and_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key.json");
    let missing = opened(&options(GcsKey::Service(file.clone()))).unwrap_err();
    let text = missing.to_string();
    assert!(text.contains("repoN-gcs-key") && !text.contains("key.json"), "{text}");
    assert!(missing.hint().is_some());
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

#[test]
fn what_fits_no_header_is_refused() {
    let tagged = |name: &str, value: &str| {
        let tags = vec![(name.to_owned(), value.to_owned())];
        opened(&GcsOptions { tags, ..options(GcsKey::Token("t".into())) })
    };
    tagged("team", "data base").unwrap();
    assert!(tagged("a team", "x").unwrap_err().to_string().contains("the tag 'a team'"));
    assert!(tagged("team", "a\nb").is_err());
    let error = opened(&options(GcsKey::Token("SE\nCRET".into()))).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("CRET"), "{error}");
}

#[test]
fn endpoint_and_host_are_read_as_everywhere() {
    let with = |endpoint: &str, host: &str| {
        let mut options = options(GcsKey::Token("t".into()));
        options.connection.endpoint = endpoint.into();
        options.connection.host = Some(host.to_owned()).filter(|host| !host.is_empty());
        opened(&options)
    };
    with("https://storage.example", "").unwrap();
    with("storage.example", "fd00::5").unwrap();
    with("storage.example", "http://proxy:1").unwrap();
    for (endpoint, host) in [("https://https://x", ""), ("x", "https://https://y"), ("", "")] {
        assert!(with(endpoint, host).is_err(), "{endpoint} {host}");
    }
}
