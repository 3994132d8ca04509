//! No value of a secret option is ever shown, whatever its form, and whatever goes wrong because of it.

use super::testing::loaded;
use crate::{config::table, storage::PosixStorage, types::Failure};

/// Part of every value that is tried.
const MARK: &str = "hunter2";

/// What people put into the place of a secret by mistake.
fn forms() -> Vec<String> {
    let key_file = format!("{{\"type\": \"service_account\", \"private_key\": \"{MARK}\"}}");
    vec![
        MARK.to_owned(),
        format!("{MARK}\n"),
        format!("{MARK}\r\nsecond line"),
        format!("ya29.{MARK}"),
        format!("/no/such/{MARK}"),
        format!("./{MARK}"),
        format!("https://{MARK}:{MARK}@host/path"),
        format!("?sv=2024&sig={MARK}"),
        format!("sig={MARK}%"),
        format!("{MARK}=={MARK}"),
        format!("{MARK}\u{1b}[31m"),
        format!("{MARK}\u{e9}"),
        format!("\u{0}{MARK}"),
        key_file.clone(),
        key_file.replace(", ", ",\n"),
        MARK.repeat(20_000),
    ]
}

/// Options with which a repository of each kind needs nothing but its secrets.
fn kinds() -> Vec<Vec<(&'static str, &'static str)>> {
    let s3 = [
        ("type", "s3"),
        ("s3-bucket", "b"),
        ("s3-endpoint", "s3.example.com"),
        ("s3-region", "r"),
        ("s3-key", "k"),
        ("s3-key-secret", "s"),
    ];
    let azure = [
        ("type", "azure"),
        ("azure-container", "c"),
        ("azure-account", "a"),
        ("azure-key", "YQ=="),
    ];
    let sas = [
        ("type", "azure"),
        ("azure-container", "c"),
        ("azure-account", "a"),
        ("azure-key-type", "sas"),
        ("azure-key", "sig=a"),
    ];
    let gcs = [("type", "gcs"), ("gcs-bucket", "b"), ("gcs-key", "/etc/key.json")];
    let token = [("type", "gcs"), ("gcs-bucket", "b"), ("gcs-key-type", "token"), ("gcs-key", "t")];
    let sftp = [
        ("type", "sftp"),
        ("sftp-host", "h"),
        ("sftp-host-user", "u"),
        ("sftp-host-key-hash-type", "sha256"),
    ];
    let plain = [("path", "/nowhere"), ("cipher-type", "aes-256-gcm"), ("cipher-pass", "p")];
    vec![
        s3.to_vec(),
        azure.to_vec(),
        sas.to_vec(),
        gcs.to_vec(),
        token.to_vec(),
        sftp.to_vec(),
        plain.to_vec(),
    ]
}

/// All that could be shown of an error.
fn shown(error: &(impl Failure + std::fmt::Debug)) -> String {
    format!("{error} {error:?} {}", error.hint().unwrap_or_default())
}

/// All that could be shown where the first repository has these options.
fn all_shown(options: &[(&str, &str)]) -> String {
    let config = match loaded(options) {
        Err(error) => return shown(&error),
        Ok(config) => config,
    };
    let mut text = format!("{config:?}");
    for repo in config.repos.values() {
        match super::open(repo, |path| PosixStorage::new(path)) {
            Ok(storage) => text += &format!("{storage:?} {}", storage.location()),
            Err(error) => text += &shown(&error),
        }
    }
    text
}

#[test]
fn no_form_of_a_secret_is_shown() {
    let secrets: Vec<_> = table::rows()
        .filter(|row| row.secret)
        .filter_map(|row| row.name.strip_prefix("repoN-"))
        .collect();
    assert!(secrets.len() >= 10, "{secrets:?}");
    for kind in kinds() {
        for secret in &secrets {
            for form in forms() {
                let mut options = kind.clone();
                options.retain(|(name, _)| name != secret);
                options.push((secret, &form));
                let text = all_shown(&options);
                let start: String = form.chars().take(40).collect();
                assert!(!text.contains(MARK), "{secret} with {start:?} in {kind:?}: {text}");
            }
        }
    }
}
