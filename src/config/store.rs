//! The typed configuration of repositories that are not directories of this host.

use std::{path::PathBuf, time::Duration};

use super::typed::Secret;

/// `repoN-type` with what belongs to it.
#[derive(Clone, Debug)]
pub enum RepoKind {
    /// A directory of this host.
    Posix,
    /// A bucket of S3, or of a store that speaks its protocol.
    S3(Box<S3Config>),
    /// A container of Azure Blob Storage.
    Azure(Box<AzureConfig>),
    /// A bucket of Google Cloud Storage.
    Gcs(Box<GcsConfig>),
    /// A directory of another host.
    Sftp(Box<SftpConfig>),
}

/// `repoN-storage-…`: what repositories behind a network have in common.
#[derive(Clone, Debug)]
pub struct RemoteConfig {
    /// `-host`: connect here in place of the endpoint.
    pub host: Option<String>,
    /// `-port`; `None`: not set.
    pub port: Option<u16>,
    /// `-ca-file`.
    pub ca_file: Option<PathBuf>,
    /// `-ca-path`.
    pub ca_path: Option<PathBuf>,
    /// `-verify-tls`.
    pub verify_tls: bool,
    /// `-tag`, in the order given.
    pub tags: Vec<(String, String)>,
    /// `-upload-chunk-size`; `None`: what suits the store.
    pub chunk_size: Option<u64>,
    /// `-max-rate`, bytes a second.
    pub rate_max: Option<u64>,
    /// `-requests-max`.
    pub at_once_max: usize,
    /// `-retry-time`.
    pub retry_time: Duration,
    /// `io-timeout`.
    pub timeout: Duration,
}

/// The form of a store's addresses (`…-uri-style`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UriStyle {
    /// The bucket is part of the host name.
    Host,
    /// The bucket is the first part of the path.
    Path,
}

/// `repoN-s3-…`.
#[derive(Clone, Debug)]
pub struct S3Config {
    /// `-bucket`.
    pub bucket: String,
    /// `-endpoint`.
    pub endpoint: String,
    /// `-region`.
    pub region: String,
    /// `-key-type`.
    pub key_type: S3KeyType,
    /// `-key`.
    pub key: Option<Secret>,
    /// `-key-secret`.
    pub key_secret: Option<Secret>,
    /// `-token`.
    pub token: Option<Secret>,
    /// `-role`.
    pub role: Option<String>,
    /// `-sts-host`.
    pub sts_host: String,
    /// `-process-cmd`: the command and its arguments.
    pub process_cmd: Vec<String>,
    /// `-service`.
    pub service: String,
    /// `-uri-style`.
    pub uri_style: UriStyle,
    /// `-kms-key-id`.
    pub kms_key_id: Option<String>,
    /// `-sse-customer-key`.
    pub sse_customer_key: Option<Secret>,
    /// `-sse`: with keys of the store.
    pub sse_aes256: bool,
    /// `-storage-class`.
    pub storage_class: Option<String>,
    /// `-object-lock-mode` and `-object-lock-days`.
    pub object_lock: Option<(ObjectLockMode, u32)>,
    /// `-requester-pays`.
    pub requester_pays: bool,
}

/// `repoN-s3-object-lock-mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ObjectLockMode {
    Governance,
    Compliance,
}

/// `repoN-s3-key-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum S3KeyType {
    Shared,
    Auto,
    WebId,
    PodId,
    Process,
}

/// `repoN-azure-…`.
#[derive(Clone, Debug)]
pub struct AzureConfig {
    /// `-account`.
    pub account: Secret,
    /// `-container`.
    pub container: String,
    /// `-endpoint`.
    pub endpoint: Secret,
    /// `-key-type`.
    pub key_type: AzureKeyType,
    /// `-key`.
    pub key: Option<Secret>,
    /// `-uri-style`.
    pub uri_style: UriStyle,
}

/// `repoN-azure-key-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum AzureKeyType {
    Shared,
    Sas,
    Auto,
}

/// `repoN-gcs-…`.
#[derive(Clone, Debug)]
pub struct GcsConfig {
    /// `-bucket`.
    pub bucket: String,
    /// `-endpoint`.
    pub endpoint: String,
    /// `-key-type`.
    pub key_type: GcsKeyType,
    /// `-key`: the path of a service account's file, or a token.
    pub key: Option<Secret>,
    /// `-user-project`.
    pub user_project: Option<String>,
}

/// `repoN-gcs-key-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum GcsKeyType {
    Service,
    Token,
    Auto,
}

/// `repoN-sftp-…`.
#[derive(Clone, Debug)]
pub struct SftpConfig {
    /// `-host`.
    pub host: String,
    /// `-host-port`.
    pub port: u16,
    /// `-host-user`.
    pub user: String,
    /// `-host-key-check-type`.
    pub host_key_check: HostKeyCheck,
    /// `-host-fingerprint`.
    pub fingerprint: Option<String>,
    /// `-host-key-hash-type`.
    pub fingerprint_hash: Option<String>,
    /// `-known-host`.
    pub known_hosts: Vec<PathBuf>,
    /// `-private-key-file`; `None`: the keys of the agent.
    pub private_key_file: Option<PathBuf>,
    /// `-private-key-passphrase`.
    pub private_key_passphrase: Option<Secret>,
    /// `-public-key-file`.
    pub public_key_file: Option<PathBuf>,
}

/// `repoN-sftp-host-key-check-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum HostKeyCheck {
    AcceptNew,
    Fingerprint,
    None,
    Strict,
}

/// `repoN-cipher-…`: the encryption of a repository.
#[derive(Clone, Debug)]
pub enum CipherConfig {
    /// It is not encrypted.
    None,
    /// AES-256-GCM, with a pass phrase that opens its key.
    Aes256Gcm {
        /// `repoN-cipher-pass` or `repoN-cipher-pass-file`.
        pass: PassSource,
        /// `repoN-cipher-pass-new`.
        pass_new: Option<Secret>,
        /// Another cipher that `repoN-cipher-type` names.
        named: Option<String>,
    },
}

/// Where a pass phrase comes from.
#[derive(Clone, Debug)]
pub enum PassSource {
    /// It is the value of an option.
    Given(Secret),
    /// It is in a file, which is read when it is needed.
    File(PathBuf),
}
