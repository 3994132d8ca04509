//! repo-sync: from where to where.

use std::collections::BTreeMap;

use crate::config::{
    commands::Commands,
    error::Error,
    settings::Settings,
    typed::{RepoConfig, SyncConfig},
};

/// Both repositories must be configured, and two.
pub(super) fn sync(
    s: &Settings,
    repos: &BTreeMap<u16, RepoConfig>,
) -> Result<Option<SyncConfig>, Error> {
    if s.command.set != Commands::REPO_SYNC {
        return Ok(None);
    }
    let (from, to) = (key(s, "from", repos)?, key(s, "to", repos)?);
    if from == to {
        let hint = "a repository is not copied to itself.".to_owned();
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
        hint: Some("the number of a repository, such as 1 of repo1.".into()),
    };
    let key = s.integer(option, 0)?.ok_or_else(required)? as u16;
    match repos.contains_key(&key) {
        true => Ok(key),
        false => {
            let keys = repos.keys().map(u16::to_string).collect::<Vec<_>>().join(", ");
            Err(s.invalid(option, 0, "is not valid", Some(format!("configured: {keys}."))))
        }
    }
}
