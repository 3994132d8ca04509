//! `repoN-type=s3`.

use std::sync::Arc;

use crate::{
    command::{Error, Result},
    config::{RepoConfig, S3Config},
    storage::Storage,
};

pub(super) fn open(config: &RepoConfig, _s3: &S3Config) -> Result<Arc<dyn Storage>> {
    Err(Error::NotSupported(format!("repo{}-type=s3", config.key)))
}
