//! `repoN-type=gcs`.

use std::sync::Arc;

use super::{connection, prefix, requests};
use crate::{
    command::Result,
    config::{GcsConfig, GcsKeyType, RepoConfig},
    storage::{
        Storage,
        gcs::{self, GcsKey, GcsOptions},
    },
};

pub(super) fn open(config: &RepoConfig, gcs: &GcsConfig) -> Result<Arc<dyn Storage>> {
    let options = options(config, gcs, |name| std::env::var(name).ok());
    Ok(Arc::new(gcs::open(&options, &prefix(config), requests(&config.remote))?))
}

fn options(
    config: &RepoConfig,
    gcs: &GcsConfig,
    environment: impl Fn(&str) -> Option<String>,
) -> GcsOptions {
    GcsOptions {
        bucket: gcs.bucket.clone(),
        key: key(gcs, environment),
        user_project: gcs.user_project.clone(),
        tags: config.remote.tags.clone(),
        connection: connection(&config.remote, &gcs.endpoint),
        part_size: config.remote.chunk_size.map(|size| size as usize),
    }
}

/// The environment names the file of the default credentials where Google's own tools expect it.
fn key(gcs: &GcsConfig, environment: impl Fn(&str) -> Option<String>) -> GcsKey {
    let key = gcs.key.as_ref().map(|key| key.reveal().to_owned()).unwrap_or_default();
    match gcs.key_type {
        GcsKeyType::Service => GcsKey::Service(key.into()),
        GcsKeyType::Token => GcsKey::Token(key),
        GcsKeyType::Auto => {
            let file = environment("GOOGLE_APPLICATION_CREDENTIALS").map(Into::into);
            GcsKey::Auto { file }
        }
    }
}

#[cfg(test)]
mod tests;
