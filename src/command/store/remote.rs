//! What the stores behind a network have in common in the configuration.

use crate::{
    config::RemoteConfig,
    storage::requests::{RequestOptions, Requests, RetryPolicy},
};
#[cfg(feature = "_http")]
use crate::{config::RepoConfig, storage::http::HttpOptions};

pub(super) fn requests(config: &RemoteConfig) -> Requests {
    Requests::new(&RequestOptions {
        at_once_max: config.at_once_max,
        rate_max: config.rate_max,
        timeout: config.timeout,
        retry: RetryPolicy { deadline: config.retry_time, ..RetryPolicy::default() },
    })
}

/// The prefix of a repository in its bucket.
#[cfg(feature = "_http")]
pub(super) fn prefix(config: &RepoConfig) -> String {
    config.path.to_string_lossy().into_owned()
}

#[cfg(feature = "_http")]
pub(super) fn http(config: &RemoteConfig) -> HttpOptions {
    HttpOptions {
        ca_file: config.ca_file.clone(),
        ca_path: config.ca_path.clone(),
        verify_tls: config.verify_tls,
        ..HttpOptions::default()
    }
}

/// How a store whose own name is `endpoint` is reached.
#[cfg(feature = "_object-store")]
pub(super) fn connection(
    config: &RemoteConfig,
    endpoint: &str,
) -> crate::storage::ConnectionOptions {
    crate::storage::ConnectionOptions {
        endpoint: endpoint.to_owned(),
        host: config.host.clone(),
        port: config.port,
        http: http(config),
    }
}

/// Reads a variable of the environment; an empty one counts as not set.
#[cfg(feature = "_http")]
pub(super) fn set(environment: impl Fn(&str) -> Option<String>) -> impl Fn(&str) -> Option<String> {
    move |name| environment(name).filter(|value| !value.is_empty())
}
