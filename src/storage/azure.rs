//! Repositories in a container of Azure Blob Storage.

mod completion;

use std::{fmt, path::PathBuf};

use object_store::{
    Attributes, TagSet,
    azure::{
        AzureAccessKey, AzureConfigKey, MicrosoftAzure, MicrosoftAzureBuilder, authority_hosts,
    },
};

use super::{
    ConnectionOptions, Result,
    bucket::{BucketStorage, CreateOnly, PART_SIZE, Traits, WHOLE_MAX},
    object_store_api::{
        Connector, Endpoint, ObjectStoreApi, Profile, Route, invalid, no_retries, scrubbed,
    },
    requests::Requests,
};
use crate::types::UriStyle;

use completion::Completion;

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
    /// How an address names the account.
    pub uri_style: UriStyle,
    /// Where the account is. The host is taken in place of the endpoint.
    pub connection: ConnectionOptions,
    /// Tags of new objects.
    pub tags: Vec<(String, String)>,
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
        /// The address of who exchanges it, if it is not that of the public cloud.
        authority: Option<String>,
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
    let mut tags = TagSet::default();
    options.tags.iter().for_each(|(name, value)| tags.push(name, value));
    let store = store(options, &location, &tags)?;
    let profile = Profile {
        location,
        bucket: format!("container '{}'", options.container),
        bucket_option: "repoN-azure-container",
        key_option: "repoN-azure-key",
        traits: Traits {
            put: CreateOnly::Kept,
            complete: CreateOnly::Kept,
            whole_max: options.part_size.unwrap_or(WHOLE_MAX),
            part_size: options.part_size.unwrap_or(PART_SIZE),
            delete_max: DELETE_MAX,
        },
        attributes: Attributes::new(),
        tags,
        prefix_is_left_out: true,
        parts_hold_the_name: true,
        backslash_is_slash: true,
        look_explains_absence: true,
    };
    Ok(BucketStorage::new(ObjectStoreApi::new(store, profile), prefix, requests))
}

fn store(options: &AzureOptions, location: &str, tags: &TagSet) -> Result<MicrosoftAzure> {
    let (endpoint, url) = address(options, location)?;
    let mut completion = Completion::new(tags.encoded());
    if let AzureKey::Shared(key) = &options.key {
        let key = AzureAccessKey::try_new(key).map_err(|_| invalid(location, NOT_THE_KEY))?;
        completion = completion.signed(&options.account, key);
    }
    let route = Route { endpoint, user_project: None, amend: Some(Box::new(completion)) };
    let builder = MicrosoftAzureBuilder::new()
        .with_account(&options.account)
        .with_container_name(&options.container)
        .with_endpoint(url)
        .with_retry(no_retries())
        .with_http_connector(Connector::new(route, &options.connection.http)?);
    with_key(builder, &options.key, location)?
        .build()
        .map_err(|error| invalid(location, explained(&error)))
}

/// Where the account is, and the address that its container is appended to.
fn address(options: &AzureOptions, location: &str) -> Result<(Endpoint, String)> {
    let account = &options.account;
    let known = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if account.is_empty() || !account.chars().all(known) {
        return Err(invalid(location, "repoN-azure-account is not a valid account name"));
    }
    let endpoint = Endpoint::replaced(location, &options.connection)?;
    if options.uri_style == UriStyle::Path {
        let url = format!("{}/{account}", endpoint.named);
        return Ok((endpoint, url));
    }
    let endpoint = endpoint.subdomain(account).ok_or_else(|| {
        invalid(location, "the account name cannot precede an IP address")
            .with_hint("set repoN-azure-uri-style=path")
    })?;
    let url = endpoint.named.to_string();
    Ok((endpoint, url))
}

fn with_key(
    builder: MicrosoftAzureBuilder,
    key: &AzureKey,
    location: &str,
) -> Result<MicrosoftAzureBuilder> {
    Ok(match key {
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
        AzureKey::Workload { client_id, tenant_id, token_file, authority } => builder
            .with_credential_type("workload_identity")
            .with_client_id(client_id)
            .with_tenant_id(tenant_id)
            .with_federated_token_file(token_file.to_string_lossy())
            .with_authority_host(authority_host(authority.as_deref(), tenant_id, location)?),
    })
}

/// Who gives tokens to a tenant. The crate would panic where this makes no address.
fn authority_host(configured: Option<&str>, tenant: &str, location: &str) -> Result<String> {
    let host = configured.unwrap_or(authority_hosts::AZURE_PUBLIC_CLOUD).trim_end_matches('/');
    let host = match host.contains("://") {
        true => host.to_owned(),
        false => format!("https://{host}"),
    };
    let address: Option<http::Uri> = format!("{host}/{tenant}/oauth2/v2.0/token").parse().ok();
    let known = |uri: &http::Uri| matches!(uri.scheme_str(), Some("http" | "https"));
    match address.filter(known).is_some() {
        true => Ok(host),
        false => Err(invalid(
            location,
            "AZURE_AUTHORITY_HOST and AZURE_TENANT_ID are not a valid URL and tenant",
        )),
    }
}

const NOT_THE_KEY: &str = "the key does not match its key type: an account key is base64, a shared \
                           access signature a query string";

/// Only what is known to hold no secret.
fn explained(error: &object_store::Error) -> String {
    let text = scrubbed(error);
    match ["base64", "Invalid symbol", "SAS"].iter().any(|word| text.contains(word)) {
        true => NOT_THE_KEY.to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests;
