//! What most commands need from the configuration: the stanza, the repositories, the cluster.

use std::sync::Arc;

use super::{Error, Result};
use crate::{
    config::{Config, PgConfig, RepoConfig},
    storage::Storage,
    types::StanzaName,
};

/// An opened repository.
#[derive(Clone, Debug)]
pub struct Repo {
    /// Its number.
    pub key: u16,
    /// Where its objects are.
    pub storage: Arc<dyn Storage>,
}

/// The stanza, which the configuration layer has made sure is there for commands that need it.
pub fn stanza(config: &Config) -> Result<&StanzaName> {
    config
        .stanza
        .as_ref()
        .ok_or_else(|| Error::OptionRequired { command: "this", option: "stanza".to_owned() })
}

/// The repositories to work on: the one that `--repo` names, else all.
pub fn repos(config: &Config) -> Result<Vec<Repo>> {
    let chosen = |key: u16| config.repo.is_none_or(|repo| repo == key);
    config.repos.values().filter(|repo| chosen(repo.key)).map(open).collect()
}

/// The one repository to work on: the one that `--repo` names, else the first.
pub fn repo(config: &Config) -> Result<(Repo, &RepoConfig)> {
    let missing = || Error::OptionRequired { command: "this", option: "repo1-path".to_owned() };
    let configured = match config.repo {
        Some(key) => config.repos.get(&key),
        None => config.repos.values().next(),
    };
    let configured = configured.ok_or_else(missing)?;
    Ok((open(configured)?, configured))
}

/// The first configured cluster.
pub fn pg(config: &Config) -> Result<&PgConfig> {
    config
        .pgs
        .values()
        .next()
        .ok_or_else(|| Error::OptionRequired { command: "this", option: "pg1-path".to_owned() })
}

fn open(config: &RepoConfig) -> Result<Repo> {
    let storage = open_storage(config)?;
    Ok(Repo { key: config.key, storage })
}

fn open_storage(config: &RepoConfig) -> Result<Arc<dyn Storage>> {
    Err(Error::NotSupported(format!("repo{}-type {:?}", config.key, config.kind)))
}
