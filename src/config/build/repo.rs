//! The repositories.

use std::collections::BTreeMap;

use crate::config::{
    error::Error,
    settings::Settings,
    spec::Group,
    typed::{RepoConfig, RepoKind, RetentionConfig},
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
        check_cipher(s, key, warnings)?;
        let kind = kind(s, key)?;
        let path = s.required_path("repoN-path", key)?;
        let bundle_size = s.size("repoN-bundle-size", key)?;
        let retention = retention(s, key)?;
        repos.insert(key, RepoConfig { key, path, kind, bundle_size, retention });
    }
    check_paths(&repos)?;
    Ok(repos)
}

fn kind(s: &Settings, key: u16) -> Result<RepoKind, Error> {
    match s.text("repoN-type", key)?.as_deref() {
        None | Some("posix") => Ok(RepoKind::Posix),
        Some(other) => Err(Error::OptionUnsupported {
            option: format!("repo{key}-type={other}"),
            reason: "this release stores on file systems (posix), the others come in a later one"
                .into(),
        }),
    }
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

fn check_cipher(s: &Settings, key: u16, warnings: &mut Vec<String>) -> Result<(), Error> {
    match s.text("repoN-cipher-type", key)?.as_deref() {
        None | Some("none") => {
            if s.is_set("repoN-cipher-pass", key) {
                warnings.push(format!(
                    "option 'repo{key}-cipher-pass' has no effect without option \
                     'repo{key}-cipher-type': the repository is not encrypted"
                ));
            }
            Ok(())
        }
        Some(other) => Err(Error::OptionUnsupported {
            option: format!("repo{key}-cipher-type={other}"),
            reason: "encryption comes in a later release".into(),
        }),
    }
}

/// Two repositories in one place would be one, seen as two copies.
fn check_paths(repos: &BTreeMap<u16, RepoConfig>) -> Result<(), Error> {
    let mut seen = BTreeMap::new();
    for (key, repo) in repos {
        if let Some(other) = seen.insert(&repo.path, key) {
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
