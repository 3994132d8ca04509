//! Repositories in Google Cloud Storage (`repoN-type=gcs`).

use crate::config::{
    commands::Commands,
    spec::{Kind::*, OptionSpec, Section::*, row},
};

const REPO: Commands = Commands::REPO;

pub(super) static ROWS: &[OptionSpec] = &[
    row("repoN-gcs-bucket", Global, String, REPO, "GCS bucket"),
    row("repoN-gcs-endpoint", Global, String, REPO, "GCS endpoint")
        .default("storage.googleapis.com"),
    row("repoN-gcs-key", Global, String, REPO, "GCS key").secret(),
    row("repoN-gcs-key-type", Global, Word(&["service", "token", "auto"]), REPO, "Kind of GCS key")
        .default("service"),
    row("repoN-gcs-user-project", Global, String, REPO, "GCS project to bill"),
];
