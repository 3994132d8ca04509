//! What the options of a repository in Google Cloud Storage come to.

use super::{super::testing::repo, *};
use crate::config::RepoKind;

fn options_of(more: &[(&str, &str)], environment: impl Fn(&str) -> Option<String>) -> GcsOptions {
    let config = repo(&[&[("type", "gcs"), ("gcs-bucket", "pg")], more].concat());
    let RepoKind::Gcs(gcs) = &config.kind else { panic!("{:?}", config.kind) };
    options(&config, gcs, environment)
}

#[test]
fn few_options_are_enough() {
    let options = options_of(&[("gcs-key", "/etc/key.json")], |_| None);
    assert_eq!(options.bucket, "pg");
    assert!(matches!(options.key, GcsKey::Service(file) if file.to_str() == Some("/etc/key.json")));
    assert_eq!(options.connection.endpoint, "storage.googleapis.com");
    assert!(options.user_project.is_none() && options.tags.is_empty());
}

#[test]
fn every_option_arrives() {
    let options = options_of(
        &[
            ("gcs-key-type", "token"),
            ("gcs-key", "ya29"),
            ("gcs-endpoint", "http://127.0.0.1:4443"),
            ("gcs-user-project", "payer"),
            ("storage-tag", "team=db"),
            ("storage-upload-chunk-size", "8MiB"),
        ],
        |_| None,
    );
    assert!(matches!(options.key, GcsKey::Token(token) if token == "ya29"));
    assert_eq!(options.user_project.as_deref(), Some("payer"));
    assert_eq!(options.tags, [("team".to_owned(), "db".to_owned())]);
    assert_eq!(options.connection.endpoint, "http://127.0.0.1:4443");
    assert_eq!(options.part_size, Some(8 << 20));
}

#[test]
fn default_credentials_may_be_named_in_the_environment() {
    let auto = [("gcs-key-type", "auto")];
    assert!(matches!(options_of(&auto, |_| None).key, GcsKey::Auto { file: None }));
    let named = options_of(&auto, |_| Some("/adc.json".to_owned()));
    assert!(matches!(named.key, GcsKey::Auto { file: Some(_) }));
    let empty = options_of(&auto, |_| Some(String::new()));
    assert!(matches!(empty.key, GcsKey::Auto { file: None }));
}

#[test]
fn host_of_the_metadata_service_is_one() {
    let auto = GcsKey::Auto { file: None };
    check_metadata_hosts(&auto, |_| None).unwrap();
    check_metadata_hosts(&auto, |_| Some("127.0.0.1:80".to_owned())).unwrap();
    for wrong in ["", "a b"] {
        let error = check_metadata_hosts(&auto, |_| Some(wrong.to_owned())).unwrap_err();
        assert!(error.to_string().contains("GCE_METADATA_HOST"), "{error}");
        check_metadata_hosts(&GcsKey::Token("t".into()), |_| Some(wrong.to_owned())).unwrap();
    }
}
