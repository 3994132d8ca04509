//! Repositories in object stores. They come in a later release: the options are read and checked,
//! and `repoN-type` is what is refused.

use crate::config::{
    commands::Commands,
    spec::{Kind::*, OptionSpec, Section::*, row},
};

const REPO: Commands = Commands::REPO;
const AZURE: &str = "it belongs to repoN-type=azure, which comes in a later release";
const GCS: &str = "it belongs to repoN-type=gcs, which comes in a later release";
const S3: &str = "it belongs to repoN-type=s3, which comes in a later release";
const STORE: &str = "it belongs to object stores, which come in a later release";
const URI_STYLES: &[&str] = &["host", "path"];

pub(super) static ROWS: &[OptionSpec] = &[
    row("repoN-azure-account", Global, String, REPO, "Azure account").secret().accepted(AZURE),
    row("repoN-azure-container", Global, String, REPO, "Azure container").accepted(AZURE),
    row("repoN-azure-endpoint", Global, String, REPO, "Azure endpoint")
        .default("blob.core.windows.net")
        .secret()
        .accepted(AZURE),
    row("repoN-azure-key", Global, String, REPO, "Azure key").secret().accepted(AZURE),
    row(
        "repoN-azure-key-type",
        Global,
        Word(&["shared", "sas", "auto"]),
        REPO,
        "Kind of Azure key",
    )
    .default("shared")
    .accepted(AZURE),
    row("repoN-azure-uri-style", Global, Word(URI_STYLES), REPO, "Form of Azure addresses")
        .default("host")
        .accepted(AZURE),
    row("repoN-gcs-bucket", Global, String, REPO, "GCS bucket").accepted(GCS),
    row("repoN-gcs-endpoint", Global, String, REPO, "GCS endpoint")
        .default("storage.googleapis.com")
        .accepted(GCS),
    row("repoN-gcs-key", Global, String, REPO, "GCS key").secret().accepted(GCS),
    row("repoN-gcs-key-type", Global, Word(&["service", "token", "auto"]), REPO, "Kind of GCS key")
        .default("service")
        .accepted(GCS),
    row("repoN-gcs-user-project", Global, String, REPO, "GCS project to bill").accepted(GCS),
    row("repoN-s3-bucket", Global, String, REPO, "S3 bucket").accepted(S3),
    row("repoN-s3-endpoint", Global, String, REPO, "S3 endpoint").accepted(S3),
    row("repoN-s3-key", Global, String, REPO, "S3 access key").secret().accepted(S3),
    row("repoN-s3-key-secret", Global, String, REPO, "S3 secret key").secret().accepted(S3),
    row(
        "repoN-s3-key-type",
        Global,
        Word(&["shared", "auto", "web-id", "pod-id", "process"]),
        REPO,
        "Kind of S3 key",
    )
    .default("shared")
    .accepted(S3),
    row("repoN-s3-kms-key-id", Global, String, REPO, "S3 KMS key").accepted(S3),
    row("repoN-s3-process-cmd", Global, List, REPO, "Command that prints S3 credentials")
        .accepted(S3),
    row("repoN-s3-region", Global, String, REPO, "S3 region").accepted(S3),
    row("repoN-s3-requester-pays", Global, Boolean, REPO, "S3 requester pays")
        .default("n")
        .accepted(S3),
    row("repoN-s3-role", Global, String, REPO, "S3 role").accepted(S3),
    row("repoN-s3-service", Global, String, REPO, "S3 service name").default("s3").accepted(S3),
    row("repoN-s3-sse-customer-key", Global, String, REPO, "S3 customer key").secret().accepted(S3),
    row("repoN-s3-sts-host", Global, String, REPO, "S3 token service")
        .default("sts.amazonaws.com")
        .accepted(S3),
    row("repoN-s3-token", Global, String, REPO, "S3 session token").secret().accepted(S3),
    row("repoN-s3-uri-style", Global, Word(URI_STYLES), REPO, "Form of S3 addresses")
        .default("host")
        .accepted(S3),
    row("repoN-storage-ca-file", Global, String, REPO, "Certificate authority of the store")
        .accepted(STORE),
    row("repoN-storage-ca-path", Global, Path, REPO, "Certificate authorities of the store")
        .accepted(STORE),
    row("repoN-storage-host", Global, String, REPO, "Host of the store").accepted(STORE),
    row("repoN-storage-port", Global, Integer(1, 65535), REPO, "Port of the store")
        .default("443")
        .accepted(STORE),
    row("repoN-storage-tag", Global, Hash, REPO, "Tag of stored objects").accepted(STORE),
    row(
        "repoN-storage-upload-chunk-size",
        Global,
        Size(64 << 10, 1 << 40),
        REPO,
        "Size of the parts of an upload",
    )
    .accepted(STORE),
    row("repoN-storage-verify-tls", Global, Boolean, REPO, "Verify the store's certificate")
        .default("y")
        .accepted(STORE),
];
