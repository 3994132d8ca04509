//! The repositories.

use std::collections::BTreeMap;

use super::store;
use crate::config::{
    error::Error,
    settings::Settings,
    spec::Group,
    store::{CipherConfig, PassSource, RemoteConfig, RepoKind},
    typed::{RepoConfig, RetentionConfig},
};
use crate::types::BackupType;

/// The configured repositories; `repo1` with its defaults where none is.
pub(super) fn repos(
    s: &Settings,
    warnings: &mut Vec<String>,
) -> Result<BTreeMap<u16, RepoConfig>, Error> {
    let mut keys = s.keys(Group::Repo);
    if keys.is_empty() {
        keys.push(1);
    }
    let mut repos = BTreeMap::new();
    for key in keys {
        let cipher = cipher(s, key, warnings)?;
        let kind = store::kind(s, key)?;
        let remote = store::remote(s, key)?;
        let path = s.required_path("repoN-path", key)?;
        let bundle_size = s.size("repoN-bundle-size", key)?;
        let retention = retention(s, key)?;
        repos.insert(key, RepoConfig { key, path, kind, remote, cipher, bundle_size, retention });
    }
    check_places(&repos)?;
    Ok(repos)
}

fn retention(s: &Settings, key: u16) -> Result<RetentionConfig, Error> {
    let number = |name| s.integer(name, key).map(|value| value.map(|number| number as u32));
    let word = |name| s.text(name, key);
    Ok(RetentionConfig {
        full: number("repoN-retention-full")?,
        full_is_days: word("repoN-retention-full-type")?.as_deref() == Some("time"),
        diff: number("repoN-retention-diff")?,
        archive: number("repoN-retention-archive")?,
        archive_type: match word("repoN-retention-archive-type")?.as_deref() {
            Some("diff") => BackupType::Diff,
            Some("incr") => BackupType::Incr,
            _ => BackupType::Full,
        },
        daily: number("repoN-retention-daily")?,
        weekly: number("repoN-retention-weekly")?,
        monthly: number("repoN-retention-monthly")?,
        yearly: number("repoN-retention-yearly")?,
    })
}

fn cipher(s: &Settings, key: u16, warnings: &mut Vec<String>) -> Result<CipherConfig, Error> {
    let kind = s.text("repoN-cipher-type", key)?.filter(|kind| kind != "none");
    match (kind, pass(s, key)?) {
        (None, None) => Ok(CipherConfig::None),
        (None, Some((option, _))) => {
            warnings.push(format!(
                "option 'repo{key}-{option}' has no effect without option 'repo{key}-cipher-type': \
                 the repository is not encrypted"
            ));
            Ok(CipherConfig::None)
        }
        (Some(_), None) => Err(Error::OptionRequired {
            command: s.command.word,
            option: format!("repo{key}-cipher-pass"),
            hint: Some(format!("or repo{key}-cipher-pass-file, which names a file that holds it.")),
        }),
        (Some(kind), Some((_, pass))) => Ok(CipherConfig::Aes256Gcm {
            pass,
            pass_new: s.secret("repoN-cipher-pass-new", key)?,
            named: (kind != "aes-256-gcm").then_some(kind),
        }),
    }
}

/// The pass phrase, with the option that tells it.
fn pass(s: &Settings, key: u16) -> Result<Option<(&'static str, PassSource)>, Error> {
    match (s.secret("repoN-cipher-pass", key)?, s.path("repoN-cipher-pass-file", key)?) {
        (Some(_), Some(_)) => Err(Error::OptionConflict {
            option: format!("repo{key}-cipher-pass-file"),
            other: format!("repo{key}-cipher-pass"),
            hint: "each of them says what the pass phrase is: use one.",
        }),
        (Some(pass), None) => Ok(Some(("cipher-pass", PassSource::Given(pass)))),
        (None, Some(path)) => Ok(Some(("cipher-pass-file", PassSource::File(path)))),
        (None, None) => Ok(None),
    }
}

/// Two repositories in one place would be one, seen as two copies.
fn check_places(repos: &BTreeMap<u16, RepoConfig>) -> Result<(), Error> {
    let mut seen = BTreeMap::new();
    for (key, repo) in repos {
        if let Some(other) = seen.insert(place(repo), key) {
            return Err(Error::OptionValue {
                option: format!("repo{key}-path"),
                value: format!("'{}'", repo.path.display()),
                problem: format!("is the path of repo{other} too, it is not valid"),
                place: String::new(),
                hint: Some("each repository needs a path of its own.".into()),
            });
        }
    }
    Ok(())
}

/// What tells the places of repositories apart.
fn place(repo: &RepoConfig) -> Vec<String> {
    let path = || repo.path.components().as_path().display().to_string();
    let prefix = || repo.path.to_string_lossy().trim_matches('/').to_owned();
    let RemoteConfig { host, port, .. } = &repo.remote;
    let server = |endpoint: &str| format!("{endpoint} {host:?} {port:?}");
    match &repo.kind {
        RepoKind::Posix => vec!["posix".to_owned(), path()],
        RepoKind::S3(s3) => {
            vec!["s3".to_owned(), server(&s3.endpoint), s3.bucket.clone(), prefix()]
        }
        RepoKind::Azure(azure) => vec![
            "azure".to_owned(),
            server(azure.endpoint.reveal()),
            azure.account.reveal().to_owned(),
            azure.container.clone(),
            prefix(),
        ],
        RepoKind::Gcs(gcs) => {
            vec!["gcs".to_owned(), server(&gcs.endpoint), gcs.bucket.clone(), prefix()]
        }
        RepoKind::Sftp(sftp) => {
            vec!["sftp".to_owned(), format!("{}:{}", sftp.host, sftp.port), path()]
        }
    }
}
