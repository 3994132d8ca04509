//! Repositories in S3 and in stores that speak its protocol (`repoN-type=s3`).

use crate::config::{
    commands::Commands,
    spec::{Kind::*, OptionSpec, Section::*, row},
};

const REPO: Commands = Commands::REPO;
const URI_STYLES: &[&str] = &["host", "path"];

pub(super) static ROWS: &[OptionSpec] = &[
    row("repoN-s3-bucket", Global, String, REPO, "S3 bucket"),
    row("repoN-s3-endpoint", Global, String, REPO, "S3 endpoint"),
    row("repoN-s3-key", Global, String, REPO, "S3 access key").secret(),
    row("repoN-s3-key-secret", Global, String, REPO, "S3 secret key").secret(),
    row(
        "repoN-s3-key-type",
        Global,
        Word(&["shared", "auto", "web-id", "pod-id", "process"]),
        REPO,
        "Kind of S3 key",
    )
    .default("shared"),
    row("repoN-s3-kms-key-id", Global, String, REPO, "S3 KMS key"),
    row("repoN-s3-process-cmd", Global, List, REPO, "Command that prints S3 credentials"),
    row("repoN-s3-region", Global, String, REPO, "S3 region"),
    row("repoN-s3-requester-pays", Global, Boolean, REPO, "S3 requester pays").default("n"),
    row("repoN-s3-role", Global, String, REPO, "S3 role"),
    row("repoN-s3-service", Global, String, REPO, "S3 service name").default("s3"),
    row("repoN-s3-sse-customer-key", Global, String, REPO, "S3 customer key").secret(),
    row("repoN-s3-sts-host", Global, String, REPO, "S3 token service").default("sts.amazonaws.com"),
    row("repoN-s3-token", Global, String, REPO, "S3 session token").secret(),
    row("repoN-s3-uri-style", Global, Word(URI_STYLES), REPO, "Form of S3 addresses")
        .default("host"),
];
