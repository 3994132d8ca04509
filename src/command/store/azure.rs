//! `repoN-type=azure`.

use std::sync::Arc;

use super::remote::{connection, prefix, requests, set};
use crate::{
    command::Result,
    config::{AzureConfig, AzureKeyType, RepoConfig},
    storage::{
        Storage,
        azure::{self, AzureKey, AzureOptions},
    },
};

pub(super) fn open(config: &RepoConfig, azure: &AzureConfig) -> Result<Arc<dyn Storage>> {
    let options = options(config, azure, |name| std::env::var(name).ok());
    Ok(Arc::new(azure::open(&options, &prefix(config), requests(&config.remote))?))
}

fn options(
    config: &RepoConfig,
    azure: &AzureConfig,
    environment: impl Fn(&str) -> Option<String>,
) -> AzureOptions {
    AzureOptions {
        account: azure.account.reveal().to_owned(),
        container: azure.container.clone(),
        key: key(azure, set(environment)),
        uri_style: azure.uri_style,
        connection: connection(&config.remote, azure.endpoint.reveal()),
        tags: config.remote.tags.clone(),
        part_size: config.remote.chunk_size.map(|size| size as usize),
    }
}

/// The environment names the identity where Azure's own tools set it.
fn key(azure: &AzureConfig, environment: impl Fn(&str) -> Option<String>) -> AzureKey {
    let key = azure.key.as_ref().map(|key| key.reveal().to_owned()).unwrap_or_default();
    match azure.key_type {
        AzureKeyType::Shared => AzureKey::Shared(key),
        AzureKeyType::Sas => AzureKey::Sas(key),
        AzureKeyType::Auto => {
            let client_id = environment("AZURE_CLIENT_ID");
            let tenant_id = environment("AZURE_TENANT_ID");
            match (client_id, tenant_id, environment("AZURE_FEDERATED_TOKEN_FILE")) {
                (Some(client_id), Some(tenant_id), Some(file)) => {
                    let authority = environment("AZURE_AUTHORITY_HOST");
                    AzureKey::Workload { client_id, tenant_id, token_file: file.into(), authority }
                }
                (client_id, ..) => AzureKey::Machine { client_id },
            }
        }
    }
}

#[cfg(test)]
mod tests;
