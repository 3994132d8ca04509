//! Repositories in Google Cloud Storage (`repoN-type=gcs`).

use crate::config::{
    commands::Commands,
    spec::{Kind::*, OptionSpec, Section::*, row},
};

const REPO: Commands = Commands::REPO;

pub(super) static ROWS: &[OptionSpec] = &[
    row("repoN-gcs-bucket", Global, String, REPO, "GCS bucket, which must exist")
        .example("example-pg-backups"),
    row("repoN-gcs-endpoint", Global, String, REPO, "Host of Google Cloud Storage")
        .default("storage.googleapis.com")
        .detail("With `http://` before it for a server without TLS; a port may follow.")
        .example("storage.example.com"),
    row("repoN-gcs-key", Global, String, REPO, "File of a service account's key, or a token")
        .secret()
        .detail("What it is, repoN-gcs-key-type says.")
        .example("/etc/pgstrata/gcs-key.json"),
    row(
        "repoN-gcs-key-type",
        Global,
        Word(&["service", "token", "auto"]),
        REPO,
        "What opens the bucket",
    )
    .default("service")
    .detail(
        "`service` is the key of a service account, in a JSON file; `token` an access token; \
             `auto` the default credentials: the file that GOOGLE_APPLICATION_CREDENTIALS names, \
             those that gcloud left for the user, or the machine's service account.",
    )
    .example("auto"),
    row("repoN-gcs-user-project", Global, String, REPO, "Project that pays for the requests")
        .detail("For buckets where the requester pays.")
        .example("example-project"),
];
