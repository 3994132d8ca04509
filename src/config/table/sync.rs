//! Options of repo-sync.

use std::collections::BTreeMap;

use super::repo::RepoConfig;
use crate::config::{
    commands::Commands,
    error::Error,
    settings::Settings,
    spec::{Kind::*, OptionSpec, Section::*, row},
};

pub(super) static ROWS: &[OptionSpec] = &[
    row("from", CommandLine, Integer(1, 256), Commands::REPO_SYNC, "Repository to copy from")
        .example("1"),
    row("to", CommandLine, Integer(1, 256), Commands::REPO_SYNC, "Repository to copy to")
        .detail("Backups that its retention options would expire are not copied.")
        .example("2"),
];

/// repo-sync: two different configured repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct SyncConfig {
    pub from: u16,
    pub to: u16,
}

/// Both repositories must be configured, and two.
pub(super) fn read(
    s: &Settings,
    repos: &BTreeMap<u16, RepoConfig>,
) -> Result<Option<SyncConfig>, Error> {
    if s.command.set != Commands::REPO_SYNC {
        return Ok(None);
    }
    let (from, to) = (key(s, "from", repos)?, key(s, "to", repos)?);
    if from == to {
        let hint = "--from and --to must be different repositories.".to_owned();
        return Err(s.invalid("to", 0, "is not valid", Some(hint)));
    }
    if s.is_set("set", 0) && !s.is_set("stanza", 0) {
        return Err(Error::OptionNeeds { option: "set".into(), other: "'stanza'".into() });
    }
    Ok(Some(SyncConfig { from, to }))
}

fn key(
    s: &Settings,
    option: &'static str,
    repos: &BTreeMap<u16, RepoConfig>,
) -> Result<u16, Error> {
    let required = || Error::OptionRequired {
        command: s.command.word,
        option: option.into(),
        hint: Some("the number of a repository, such as 1 for repo1.".into()),
    };
    let key: u16 = s.integer(option, 0)?.ok_or_else(required)?;
    if !repos.contains_key(&key) {
        let keys = repos.keys().map(u16::to_string).collect::<Vec<_>>().join(", ");
        return Err(s.invalid(option, 0, "is not valid", Some(format!("configured: {keys}."))));
    }
    Ok(key)
}
