//! What the options of a repository in Azure come to.

use super::{super::testing::repo, *};
use crate::{config::RepoKind, types::UriStyle};

fn options_of(more: &[(&str, &str)], environment: impl Fn(&str) -> Option<String>) -> AzureOptions {
    let needed = [("type", "azure"), ("azure-account", "acc"), ("azure-container", "pg")];
    let config = repo(&[&needed, more].concat());
    let RepoKind::Azure(azure) = &config.kind else { panic!("{:?}", config.kind) };
    options(&config, azure, environment)
}

#[test]
fn few_options_are_enough() {
    let options = options_of(&[("azure-key", "a2V5")], |_| None);
    assert_eq!((options.account.as_str(), options.container.as_str()), ("acc", "pg"));
    assert!(matches!(options.key, AzureKey::Shared(key) if key == "a2V5"));
    assert!(options.uri_style == UriStyle::Host && options.part_size.is_none());
    let connection = options.connection;
    assert_eq!(connection.endpoint, "blob.core.windows.net");
    assert!(connection.http.verify_tls && connection.port.is_none() && connection.host.is_none());
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
            ("storage-tag", "team=db"),
        ],
        |_| None,
    );
    assert!(matches!(options.key, AzureKey::Sas(sas) if sas == "sv=1&sig=x"));
    assert_eq!(options.uri_style, UriStyle::Path);
    assert_eq!(options.part_size, Some(8 << 20));
    assert_eq!(options.tags, [("team".to_owned(), "db".to_owned())]);
    let connection = options.connection;
    assert_eq!(connection.endpoint, "http://127.0.0.1:10000");
    assert_eq!((connection.host.as_deref(), connection.port), (Some("10.0.0.1"), Some(8443)));
    assert_eq!(connection.http.ca_file, Some("/ca.pem".into()));
    assert_eq!(connection.http.ca_path, Some("/cas".into()));
    assert!(!connection.http.verify_tls);
}

#[test]
fn identity_is_that_of_the_machine_or_of_the_workload() {
    let auto = [("azure-key-type", "auto")];
    let options = options_of(&auto, |_| None);
    assert!(matches!(options.key, AzureKey::Machine { client_id: None }));
    let named = |name: &str| (name == "AZURE_CLIENT_ID").then(|| "c".to_owned());
    let options = options_of(&auto, named);
    assert!(matches!(options.key, AzureKey::Machine { client_id: Some(id) } if id == "c"));
    let options = options_of(&auto, |name| Some(name.to_owned()));
    assert!(matches!(options.key, AzureKey::Workload { .. }));
}

/// Containers often have empty variables.
#[test]
fn empty_variables_are_not_set() {
    let auto = [("azure-key-type", "auto")];
    let but_for = |empty: &'static str| {
        options_of(&auto, move |name| {
            Some(if name == empty { String::new() } else { name.to_owned() })
        })
        .key
    };
    assert!(matches!(but_for("AZURE_CLIENT_ID"), AzureKey::Machine { client_id: None }));
    assert!(matches!(but_for("AZURE_FEDERATED_TOKEN_FILE"), AzureKey::Machine { .. }));
    assert!(matches!(but_for("AZURE_AUTHORITY_HOST"), AzureKey::Workload { authority: None, .. }));
    let AzureKey::Workload { authority: Some(authority), .. } = but_for("") else { panic!() };
    assert_eq!(authority, "AZURE_AUTHORITY_HOST");
}

/// As in pgBackRest, whose configurations for Azurite name no style.
#[test]
fn another_host_puts_the_account_in_the_path_unless_told_otherwise() {
    let in_host = |more: &[(&str, &str)]| {
        let key = [("azure-key", "a2V5")];
        options_of(&[&key, more].concat(), |_| None).uri_style == UriStyle::Host
    };
    let host = ("storage-host", "azurite");
    assert!(in_host(&[]) && !in_host(&[host]));
    assert!(in_host(&[host, ("azure-uri-style", "host")]));
}
