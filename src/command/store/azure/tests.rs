//! What the options of a repository in Azure come to.

use super::{super::testing::repo, *};
use crate::config::RepoKind;

fn options_of(
    more: &[(&str, &str)],
    environment: impl Fn(&str) -> Option<String>,
) -> Result<AzureOptions> {
    let needed = [("type", "azure"), ("azure-account", "acc"), ("azure-container", "pg")];
    let config = repo(&[&needed, more].concat());
    let RepoKind::Azure(azure) = &config.kind else { panic!("{:?}", config.kind) };
    options(&config, azure, environment)
}

#[test]
fn few_options_are_enough() {
    let options = options_of(&[("azure-key", "a2V5")], |_| None).unwrap();
    assert_eq!((options.account.as_str(), options.container.as_str()), ("acc", "pg"));
    assert!(matches!(options.key, AzureKey::Shared(key) if key == "a2V5"));
    assert!(options.account_in_host && options.part_size.is_none());
    let connection = options.connection;
    assert_eq!(connection.endpoint, "blob.core.windows.net");
    assert!(connection.verify_tls && connection.port.is_none() && connection.host.is_none());
}

#[test]
fn every_option_arrives() {
    let options = options_of(
        &[
            ("azure-key-type", "sas"),
            ("azure-key", "sv=1&sig=x"),
            ("azure-endpoint", "http://127.0.0.1:10000"),
            ("azure-uri-style", "path"),
            ("storage-host", "10.0.0.1"),
            ("storage-port", "8443"),
            ("storage-ca-file", "/ca.pem"),
            ("storage-ca-path", "/cas"),
            ("storage-verify-tls", "n"),
            ("storage-upload-chunk-size", "8MiB"),
        ],
        |_| None,
    )
    .unwrap();
    assert!(matches!(options.key, AzureKey::Sas(sas) if sas == "sv=1&sig=x"));
    assert!(!options.account_in_host);
    assert_eq!(options.part_size, Some(8 << 20));
    let connection = options.connection;
    assert_eq!(connection.endpoint, "http://127.0.0.1:10000");
    assert_eq!((connection.host.as_deref(), connection.port), (Some("10.0.0.1"), Some(8443)));
    assert_eq!(connection.ca_file, Some("/ca.pem".into()));
    assert_eq!(connection.ca_path, Some("/cas".into()));
    assert!(!connection.verify_tls);
}

#[test]
fn identity_is_that_of_the_machine_or_of_the_workload() {
    let auto = [("azure-key-type", "auto")];
    let options = options_of(&auto, |_| None).unwrap();
    assert!(matches!(options.key, AzureKey::Machine { client_id: None }));
    let named = |name: &str| (name == "AZURE_CLIENT_ID").then(|| "c".to_owned());
    let options = options_of(&auto, named).unwrap();
    assert!(matches!(options.key, AzureKey::Machine { client_id: Some(id) } if id == "c"));
    let options = options_of(&auto, |name| Some(name.to_owned())).unwrap();
    assert!(matches!(options.key, AzureKey::Workload { .. }));
}

#[test]
fn tags_are_refused() {
    let error = options_of(&[("azure-key", "a2V5"), ("storage-tag", "a=b")], |_| None).unwrap_err();
    assert_eq!(error.to_string(), "repo1-storage-tag with repo1-type=azure is not supported");
}
