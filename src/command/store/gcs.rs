//! `repoN-type=gcs`.

use std::sync::Arc;

use crate::{
    command::{Error, Result},
    config::{GcsConfig, RepoConfig},
    storage::Storage,
};

pub(super) fn open(config: &RepoConfig, _gcs: &GcsConfig) -> Result<Arc<dyn Storage>> {
    Err(Error::NotSupported(format!("repo{}-type=gcs", config.key)))
}
