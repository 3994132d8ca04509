//! Repositories in a container of Azure Blob Storage.

use std::{fmt, path::PathBuf};

use object_store::{
    Attributes,
    azure::{AzureConfigKey, MicrosoftAzure, MicrosoftAzureBuilder},
};

use super::{
    ConnectionOptions, Result,
    bucket::{BucketStorage, CreateOnly, Traits},
    object_store_api::{
        Connector, Endpoint, ObjectStoreApi, Profile, Route, invalid, no_retries, scrubbed,
    },
    requests::Requests,
};

/// Bytes of a part unless configured. A block may have 4000 MiB; four are in memory at a time.
const PART_SIZE: usize = 16 << 20;

/// Blobs that one batch may delete.
const DELETE_MAX: usize = 256;

/// A container and how it is opened.
#[derive(Clone, Debug)]
pub struct AzureOptions {
    /// The storage account.
    pub account: String,
    /// The container.
    pub container: String,
    /// What opens it.
    pub key: AzureKey,
    /// Whether the account is part of the host name, and not the first part of the path.
    pub account_in_host: bool,
    /// How the account's endpoint is reached.
    pub connection: ConnectionOptions,
    /// Bytes of a part of a large object; `None`: what suits the store.
    pub part_size: Option<usize>,
}

/// What opens a container. `Debug` shows no key.
#[derive(Clone)]
pub enum AzureKey {
    /// The account's key, in base64.
    Shared(String),
    /// A shared access signature: the query of an address, with or without its question mark.
    Sas(String),
    /// The managed identity of this machine.
    Machine {
        /// Which of several, by its client id.
        client_id: Option<String>,
    },
    /// The identity of a workload of Kubernetes.
    Workload {
        /// Its client id.
        client_id: String,
        /// Its tenant.
        tenant_id: String,
        /// The file whose token is exchanged for one of Azure.
        token_file: PathBuf,
    },
}

impl fmt::Debug for AzureKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shared(_) => "Shared(***)",
            Self::Sas(_) => "Sas(***)",
            Self::Machine { .. } => "Machine",
            Self::Workload { .. } => "Workload",
        })
    }
}

/// Opens the repository below `prefix`. No request is made.
pub fn open(options: &AzureOptions, prefix: &str, requests: Requests) -> Result<BucketStorage> {
    // The account is not shown: it is among what the configuration keeps to itself.
    let location = format!("azure://{}", options.container);
    let signed_here = matches!(options.key, AzureKey::Shared(_));
    let profile = Profile {
        location: location.clone(),
        bucket: format!("container '{}'", options.container),
        bucket_option: "repoN-azure-container",
        key_option: "repoN-azure-key",
        traits: Traits {
            put: CreateOnly::Kept,
            complete: if signed_here { CreateOnly::NotKept } else { CreateOnly::Kept },
            part_size: options.part_size.unwrap_or(PART_SIZE),
            delete_max: DELETE_MAX,
        },
        attributes: Attributes::new(),
        prefix_is_left_out: true,
        parts_hold_the_name: true,
        backslash_is_slash: true,
    };
    let store = store(options, &location, !signed_here)?;
    Ok(BucketStorage::new(ObjectStoreApi::new(store, profile), prefix, requests))
}

fn store(
    options: &AzureOptions,
    location: &str,
    completes_create_only: bool,
) -> Result<MicrosoftAzure> {
    let connection = &options.connection;
    let account = options.account.as_str();
    let endpoint = Endpoint::new(location, connection, options.account_in_host.then_some(account))?;
    let url = match options.account_in_host {
        true => endpoint.url(),
        false => format!("{}/{account}", endpoint.url()),
    };
    let route = Route { endpoint, user_project: None, completes_create_only };
    let refused = |error| invalid(location, explained(&error));
    let connector = Connector::new(route, connection)?;
    let builder = MicrosoftAzureBuilder::new()
        .with_account(account)
        .with_container_name(&options.container)
        .with_endpoint(url)
        .with_retry(no_retries())
        .with_client_options(connection.of_others())
        .with_http_connector(connector);
    with_key(builder, &options.key).build().map_err(refused)
}

fn with_key(builder: MicrosoftAzureBuilder, key: &AzureKey) -> MicrosoftAzureBuilder {
    match key {
        AzureKey::Shared(key) => builder.with_credential_type("access_key").with_access_key(key),
        AzureKey::Sas(sas) => builder
            .with_credential_type("sas_token")
            .with_config(AzureConfigKey::SasKey, sas.trim()),
        AzureKey::Machine { client_id } => {
            let builder = builder.with_credential_type("managed_identity");
            match client_id {
                Some(id) => builder.with_client_id(id),
                None => builder,
            }
        }
        AzureKey::Workload { client_id, tenant_id, token_file } => builder
            .with_credential_type("workload_identity")
            .with_client_id(client_id)
            .with_tenant_id(tenant_id)
            .with_federated_token_file(token_file.to_string_lossy()),
    }
}

/// Only what is known to hold no secret.
fn explained(error: &object_store::Error) -> String {
    let text = scrubbed(error);
    match ["base64", "Invalid symbol", "SAS"].iter().any(|word| text.contains(word)) {
        true => {
            "the key is not what its key type says: an account's key is base64, a shared access \
                 signature the query of an address"
                .to_owned()
        }
        false => text,
    }
}

#[cfg(test)]
mod tests;
