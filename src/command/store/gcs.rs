//! `repoN-type=gcs`.

use std::sync::Arc;

use super::remote::{connection, prefix, requests, set};
use crate::{
    command::{Error, Result},
    config::{GcsConfig, GcsKeyType, RepoConfig},
    storage::{
        Storage,
        gcs::{self, GcsKey, GcsOptions},
    },
    types::ErrorCode,
};

/// Where the crate looks for the host of the metadata service. It would panic at what makes no address.
const METADATA_HOSTS: [&str; 3] = ["GCE_METADATA_HOST", "GCE_METADATA_ROOT", "GCE_METADATA_IP"];

pub(super) fn open(config: &RepoConfig, gcs: &GcsConfig) -> Result<Arc<dyn Storage>> {
    let environment = |name: &str| std::env::var(name).ok();
    let options = options(config, gcs, environment);
    check_metadata_hosts(&options.key, environment)?;
    Ok(Arc::new(gcs::open(&options, &prefix(config), requests(&config.remote))?))
}

fn options(
    config: &RepoConfig,
    gcs: &GcsConfig,
    environment: impl Fn(&str) -> Option<String>,
) -> GcsOptions {
    GcsOptions {
        bucket: gcs.bucket.clone(),
        key: key(gcs, set(environment)),
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

fn check_metadata_hosts(key: &GcsKey, environment: impl Fn(&str) -> Option<String>) -> Result<()> {
    if !matches!(key, GcsKey::Auto { file: None }) {
        return Ok(());
    }
    let is_no_host = |host: &String| format!("http://{host}/x").parse::<http::Uri>().is_err();
    let wrong = |name: &&str| environment(name).as_ref().is_some_and(is_no_host);
    match METADATA_HOSTS.into_iter().find(wrong) {
        None => Ok(()),
        Some(name) => Err(Error::Parameter {
            what: format!("environment variable {name} is not a host name"),
            code: ErrorCode::OptionInvalidValue,
        }),
    }
}

#[cfg(test)]
mod tests;
