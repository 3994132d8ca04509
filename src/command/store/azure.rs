//! `repoN-type=azure`.

use std::sync::Arc;

use crate::{
    command::{Error, Result},
    config::{AzureConfig, RepoConfig},
    storage::Storage,
};

pub(super) fn open(config: &RepoConfig, _azure: &AzureConfig) -> Result<Arc<dyn Storage>> {
    Err(Error::NotSupported(format!("repo{}-type=azure", config.key)))
}
