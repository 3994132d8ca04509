//! Repositories that are not directories of this host.

mod azure;
mod gcs;
mod s3;
mod sftp;

use crate::config::{
    error::Error,
    settings::Settings,
    spec::{OptionSpec, numbered},
    store::{RemoteConfig, RepoKind, UriStyle},
    table,
};

/// What kind of repository it is.
pub(super) fn kind(s: &Settings, key: u16) -> Result<RepoKind, Error> {
    match s.text("repoN-type", key)?.as_deref() {
        None | Some("posix") => Ok(RepoKind::Posix),
        Some("s3") => Ok(RepoKind::S3(Box::new(s3::s3(s, key)?))),
        Some("azure") => Ok(RepoKind::Azure(Box::new(azure::azure(s, key)?))),
        Some("gcs") => Ok(RepoKind::Gcs(Box::new(gcs::gcs(s, key)?))),
        Some("sftp") => Ok(RepoKind::Sftp(Box::new(sftp::sftp(s, key)?))),
        Some(other) => Err(Error::OptionUnsupported {
            option: format!("repo{key}-type={other}"),
            reason: "a directory that is shared over the network is a posix repository: its \
                     files are locked and synced as any file system does it"
                .into(),
        }),
    }
}

/// What repositories behind a network have in common.
pub(super) fn remote(s: &Settings, key: u16) -> Result<RemoteConfig, Error> {
    let port = match s.is_set("repoN-storage-port", key) {
        true => s.integer("repoN-storage-port", key)?.map(|port| port as u16),
        false => None,
    };
    Ok(RemoteConfig {
        host: s.text("repoN-storage-host", key)?,
        port,
        ca_file: s.text("repoN-storage-ca-file", key)?.map(Into::into),
        ca_path: s.path("repoN-storage-ca-path", key)?,
        verify_tls: s.boolean_of("repoN-storage-verify-tls", key)?,
        tags: s.hash_of("repoN-storage-tag", key)?,
        chunk_size: s.optional_size("repoN-storage-upload-chunk-size", key)?,
        rate_max: s.optional_size("repoN-storage-max-rate", key)?,
        at_once_max: s.integer("repoN-storage-requests-max", key)?.unwrap_or(32) as usize,
        retry_time: s.time_of("repoN-storage-retry-time", key)?,
        timeout: s.time("io-timeout")?,
    })
}

/// The value of an option that this kind of repository cannot do without.
fn needed<T>(s: &Settings, name: &'static str, key: u16, value: Option<T>) -> Result<T, Error> {
    value.ok_or_else(|| Error::OptionRequired {
        command: s.command.word,
        option: table::row_named(name)
            .map_or_else(|| name.into(), |row: &OptionSpec| numbered(row, key)),
        hint: None,
    })
}

fn uri_style(s: &Settings, name: &'static str, key: u16) -> Result<UriStyle, Error> {
    Ok(match s.text(name, key)?.as_deref() {
        Some("path") => UriStyle::Path,
        _ => UriStyle::Host,
    })
}
