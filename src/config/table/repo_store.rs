//! Options that all remote repositories share.

use std::{path::PathBuf, time::Duration};

use crate::config::{
    commands::Commands,
    error::Error,
    settings::Settings,
    spec::{Kind::*, OptionSpec, Section::*, row},
};

const REPO: Commands = Commands::REPO;

pub(super) static ROWS: &[OptionSpec] = &[
    row("repoN-storage-ca-file", Global, Text, REPO, "CA certificate file")
        .detail("Trusted in place of the CA certificates of the operating system.")
        .example("/etc/pgstrata/ca.crt"),
    row("repoN-storage-ca-path", Global, Path, REPO, "Directory of CA certificates")
        .detail("Files in it that hold no certificate are skipped.")
        .example("/etc/pgstrata/ca"),
    row("repoN-storage-host", Global, Text, REPO, "Host to connect to instead of the endpoint")
        .detail(
            "May be preceded by http:// and followed by a port; scheme and port of the endpoint are then \
             ignored. The TLS certificate must be that of this host. Requests to S3 and GCS still name the \
             endpoint; requests to Azure name this host.",
        )
        .example("store.example.com:9000"),
    row(
        "repoN-storage-max-rate",
        Global,
        Size(1 << 10, 1 << 50),
        REPO,
        "Bandwidth limit (bytes/s)",
    )
    .detail("Per process, for both directions together. Default: no limit.")
    .example("50MiB"),
    row("repoN-storage-port", Global, Integer(1, 65535), REPO, "Port to connect to")
        .default("443")
        .detail("Overrides the port of endpoint and host. Default: 443, or 80 with http://.")
        .example("9000"),
    row(
        "repoN-storage-requests-max",
        Global,
        Integer(1, 1000),
        REPO,
        "Maximum concurrent requests",
    )
    .default("32")
    .example("64"),
    row(
        "repoN-storage-retry-time",
        Global,
        Time(0, 24 * 3_600_000),
        REPO,
        "How long to retry a failed request",
    )
    .default("2m")
    .detail(
        "Counted from the first attempt. The backoff doubles from 100 ms to 15 s, or is what the store asks \
         for. An attempt ends when no data has moved for io-timeout. 0 disables retries.",
    )
    .example("10m"),
    row("repoN-storage-tag", Global, Hash, REPO, "Tag of new objects, key=value")
        .detail("On GCS tags are stored as metadata. May be given more than once.")
        .example("team=db"),
    row(
        "repoN-storage-upload-chunk-size",
        Global,
        Size(64 << 10, 1 << 40),
        REPO,
        "Chunk size of uploads",
    )
    .detail(
        "An object up to this size is uploaded in one request, a larger one in chunks. Default: objects up \
         to 40MiB in one request, chunks of 16MiB.",
    )
    .example("32MiB"),
    row("repoN-storage-verify-tls", Global, Boolean, REPO, "Verify the TLS certificate of the store")
        .default("y"),
];

/// `repoN-storage-…`: what remote repositories share.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct RemoteConfig {
    /// Connect here in place of the endpoint.
    pub host: Option<String>,
    /// `None`: not set.
    pub port: Option<u16>,
    pub ca_file: Option<PathBuf>,
    pub ca_path: Option<PathBuf>,
    pub verify_tls: bool,
    /// In the order given.
    pub tags: Vec<(String, String)>,
    /// `None`: what suits the store.
    pub chunk_size: Option<u64>,
    /// Bytes a second.
    pub rate_max: Option<u64>,
    /// `-requests-max`.
    pub at_once_max: usize,
    pub retry_time: Duration,
    /// `io-timeout`.
    pub timeout: Duration,
}

pub(super) fn read(s: &Settings, key: u16) -> Result<RemoteConfig, Error> {
    let at_once_max = s.integer("repoN-storage-requests-max", key)?;
    Ok(RemoteConfig {
        host: s.text("repoN-storage-host", key)?,
        port: s.set_integer("repoN-storage-port", key)?,
        ca_file: s.text("repoN-storage-ca-file", key)?.map(Into::into),
        ca_path: s.path("repoN-storage-ca-path", key)?,
        verify_tls: s.boolean_of("repoN-storage-verify-tls", key)?,
        tags: s.hash_of("repoN-storage-tag", key)?,
        chunk_size: s.optional_size("repoN-storage-upload-chunk-size", key)?,
        rate_max: s.optional_size("repoN-storage-max-rate", key)?,
        at_once_max: s.needed("repoN-storage-requests-max", key, at_once_max)?,
        retry_time: s.time_of("repoN-storage-retry-time", key)?,
        timeout: s.time("io-timeout")?,
    })
}
