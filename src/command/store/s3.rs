//! `repoN-type=s3`.

use std::{path::PathBuf, sync::Arc};

use super::remote::{http, prefix, requests, set};
use crate::{
    command::{Error, Result},
    config::{RemoteConfig, RepoConfig, S3Config, S3KeyType, ServerEncryption},
    storage::{
        Storage,
        bucket::BucketStorage,
        s3::{Encryption, KeySource, PART_SIZE_MIN, S3Api, S3Options},
    },
    types::Secret,
};

/// The largest part that S3 takes.
const PART_SIZE_MAX: u64 = 5 << 30;
/// Where virtual machines and containers of Amazon ask for their keys.
const INSTANCE_METADATA: &str = "http://169.254.169.254";
const CONTAINER_METADATA: &str = "http://169.254.170.2";

pub(super) fn open(config: &RepoConfig, s3: &S3Config) -> Result<Arc<dyn Storage>> {
    let environment = set(|name| std::env::var(name).ok());
    let options = options(&config.remote, s3, &environment)
        .map_err(|missing| missing.of_repository(config.key))?;
    let api = S3Api::new(options)?;
    Ok(Arc::new(BucketStorage::new(api, &prefix(config), requests(&config.remote))))
}

/// A variable of the environment that a key type cannot do without.
#[derive(Debug)]
struct Missing {
    key_type: &'static str,
    variable: &'static str,
}

impl Missing {
    fn of_repository(self, key: u16) -> Error {
        let Self { key_type, variable } = self;
        Error::Parameter {
            what: format!("repo{key}-s3-key-type={key_type} needs {variable} in the environment"),
            code: crate::types::ErrorCode::OptionRequired,
        }
    }
}

type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

fn options(
    remote: &RemoteConfig,
    s3: &S3Config,
    environment: Environment<'_>,
) -> std::result::Result<S3Options, Missing> {
    let clamped = |size: u64| size.clamp(PART_SIZE_MIN as u64, PART_SIZE_MAX) as usize;
    Ok(S3Options {
        bucket: s3.bucket.clone(),
        endpoint: s3.endpoint.clone(),
        host: remote.host.clone(),
        port: remote.port,
        region: s3.region.clone(),
        service: s3.service.clone(),
        style: s3.uri_style,
        keys: keys(s3, environment)?,
        encryption: encryption(s3),
        storage_class: s3.storage_class.clone(),
        tags: remote.tags.clone(),
        requester_pays: s3.requester_pays,
        lock: s3.object_lock,
        part_size: remote.chunk_size.map(clamped),
        http: http(remote),
    })
}

fn encryption(s3: &S3Config) -> Encryption {
    match (&s3.kms_key_id, &s3.sse_customer_key) {
        (Some(key), _) => Encryption::Kms(key.clone()),
        (None, Some(key)) => Encryption::Customer(key.clone()),
        (None, None) => match s3.sse {
            ServerEncryption::Aes256 => Encryption::Aes256,
            ServerEncryption::None => Encryption::Default,
        },
    }
}

fn keys(s3: &S3Config, environment: Environment<'_>) -> std::result::Result<KeySource, Missing> {
    let needed = |key_type, variable| environment(variable).ok_or(Missing { key_type, variable });
    let of_option = |value: &Option<Secret>| value.clone().unwrap_or_else(|| Secret::new(""));
    Ok(match s3.key_type {
        S3KeyType::Shared => KeySource::Shared {
            key: of_option(&s3.key),
            secret: of_option(&s3.key_secret),
            token: s3.token.clone(),
        },
        S3KeyType::Auto => match container_address(environment) {
            Some(address) => container(address, environment),
            None => KeySource::Instance {
                address: environment("AWS_EC2_METADATA_SERVICE_ENDPOINT")
                    .map_or_else(|| INSTANCE_METADATA.to_owned(), without_slash),
                role: s3.role.clone(),
            },
        },
        S3KeyType::PodId => {
            container(needed("pod-id", "AWS_CONTAINER_CREDENTIALS_FULL_URI")?, environment)
        }
        S3KeyType::WebId => KeySource::WebIdentity {
            address: match s3.sts_host.contains("://") {
                true => s3.sts_host.clone(),
                false => format!("https://{}", s3.sts_host),
            },
            role: needed("web-id", "AWS_ROLE_ARN")?,
            token_file: needed("web-id", "AWS_WEB_IDENTITY_TOKEN_FILE")?.into(),
        },
        S3KeyType::Process => KeySource::Process { command: s3.process_cmd.clone() },
    })
}

fn without_slash(address: String) -> String {
    address.trim_end_matches('/').to_owned()
}

fn container_address(environment: Environment<'_>) -> Option<String> {
    let relative = environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    relative
        .map(|path| format!("{CONTAINER_METADATA}{path}"))
        .or_else(|| environment("AWS_CONTAINER_CREDENTIALS_FULL_URI"))
}

fn container(address: String, environment: Environment<'_>) -> KeySource {
    KeySource::Container {
        address,
        token_file: environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").map(PathBuf::from),
        token: environment("AWS_CONTAINER_AUTHORIZATION_TOKEN")
            .map(|token| Secret::new(token.trim())),
    }
}

#[cfg(test)]
mod tests;
