//! From the configuration of a repository to its storage. Nothing of a kind of store is touched unless a repository of
//! that kind is opened.

mod azure;
pub(super) mod cipher;
mod gcs;
mod s3;
#[cfg(test)]
mod secrets;
mod sftp;
#[cfg(test)]
mod testing;
mod unopened;

use std::{path::Path, sync::Arc};

use super::{Error, Result};
use crate::{
    config::{RemoteConfig, RepoConfig, RepoKind},
    storage::{
        ConnectionOptions, PosixStorage, Storage,
        http::HttpOptions,
        requests::{RequestOptions, Requests, RetryPolicy},
    },
};

/// Opens the storage of a repository; `posix` opens a directory.
pub(super) fn open(
    config: &RepoConfig,
    posix: impl FnOnce(&Path) -> PosixStorage,
) -> Result<Arc<dyn Storage>> {
    match &config.kind {
        RepoKind::Posix => Ok(Arc::new(posix(&config.path))),
        RepoKind::S3(s3) => s3::open(config, s3),
        RepoKind::Azure(azure) => azure::open(config, azure),
        RepoKind::Gcs(gcs) => gcs::open(config, gcs),
        RepoKind::Sftp(sftp) => sftp::open(config, sftp),
    }
}

/// A repository whose opening failed, as one that answers everything with `error`.
pub(super) fn unopened(config: &RepoConfig, error: &Error) -> Arc<dyn Storage> {
    Arc::new(unopened::Unopened::new(format!("repo{}", config.key), error))
}

/// The prefix of a repository in its bucket.
fn prefix(config: &RepoConfig) -> String {
    config.path.to_string_lossy().into_owned()
}

/// How a store whose own name is `endpoint` is reached.
fn connection(config: &RemoteConfig, endpoint: &str) -> ConnectionOptions {
    ConnectionOptions {
        endpoint: endpoint.to_owned(),
        host: config.host.clone(),
        port: config.port,
        http: HttpOptions {
            ca_file: config.ca_file.clone(),
            ca_path: config.ca_path.clone(),
            verify_tls: config.verify_tls,
            ..HttpOptions::default()
        },
    }
}

/// A variable of the environment; one that is empty is as good as none.
fn set(environment: impl Fn(&str) -> Option<String>) -> impl Fn(&str) -> Option<String> {
    move |name| environment(name).filter(|value| !value.is_empty())
}

fn requests(config: &RemoteConfig) -> Requests {
    Requests::new(&RequestOptions {
        at_once_max: config.at_once_max,
        rate_max: config.rate_max,
        timeout: config.timeout,
        retry: RetryPolicy { deadline: config.retry_time, ..RetryPolicy::default() },
    })
}
