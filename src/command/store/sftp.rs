//! `repoN-type=sftp`.

use std::sync::Arc;

use crate::{
    command::{Error, Result},
    config::{RepoConfig, SftpConfig},
    storage::Storage,
};

pub(super) fn open(config: &RepoConfig, _sftp: &SftpConfig) -> Result<Arc<dyn Storage>> {
    Err(Error::NotSupported(format!("repo{}-type=sftp", config.key)))
}
