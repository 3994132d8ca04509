//! Repositories in Google Cloud Storage (`repoN-type=gcs`).

use crate::{
    config::{
        commands::Commands,
        error::Error,
        settings::Settings,
        spec::{Kind::*, OptionSpec, Section::*, row},
    },
    types::{Secret, words::words},
};

const REPO: Commands = Commands::REPO;

pub(super) static ROWS: &[OptionSpec] = &[
    row("repoN-gcs-bucket", Global, Text, REPO, "GCS bucket")
        .detail("It must exist.")
        .example("example-pg-backups"),
    row("repoN-gcs-endpoint", Global, Text, REPO, "GCS endpoint")
        .default("storage.googleapis.com")
        .detail("May be preceded by http:// for a server without TLS and followed by a port.")
        .example("storage.example.com"),
    row("repoN-gcs-key", Global, Text, REPO, "Service account key file or access token")
        .secret()
        .detail("repoN-gcs-key-type says which of them it is.")
        .example("/etc/pgstrata/gcs-key.json"),
    row(
        "repoN-gcs-key-type",
        Global,
        Word(GcsKeyType::WORDS),
        REPO,
        "Credential type: service, token or auto",
    )
    .default("service")
    .detail(
        "service is the JSON key file of a service account. token is an access token. auto uses the \
         application default credentials: the file that GOOGLE_APPLICATION_CREDENTIALS names, the \
         credentials that gcloud stored for the user, or the service account of the virtual machine.",
    )
    .example("auto"),
    row("repoN-gcs-user-project", Global, Text, REPO, "Project to bill requests to")
        .detail("Required for buckets where the requester pays.")
        .example("example-project"),
];

/// `repoN-gcs-…`.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct GcsConfig {
    pub bucket: String,
    pub endpoint: String,
    pub key_type: GcsKeyType,
    /// The path of a service account's key file, or a token.
    pub key: Option<Secret>,
    pub user_project: Option<String>,
}

words! {
    /// `repoN-gcs-key-type`.
    pub enum GcsKeyType ("GCS key type") {
        Service = "service",
        Token = "token",
        Auto = "auto",
    }
}

pub(super) fn read(s: &Settings, key: u16) -> Result<GcsConfig, Error> {
    let key_type = s.word_of("repoN-gcs-key-type", key)?;
    let needed_text = |name| s.needed(name, key, s.text(name, key)?);
    let config = GcsConfig {
        bucket: needed_text("repoN-gcs-bucket")?,
        endpoint: needed_text("repoN-gcs-endpoint")?,
        key_type,
        key: s.secret("repoN-gcs-key", key)?,
        user_project: s.text("repoN-gcs-user-project", key)?,
    };
    if key_type != GcsKeyType::Auto {
        let text = s.needed("repoN-gcs-key", key, config.key.as_ref())?.reveal();
        check_form(s, key, key_type, text)?;
    }
    Ok(config)
}

/// A key of the other type is refused here: later, a token would be taken for a file name and shown as one.
fn check_form(s: &Settings, key: u16, key_type: GcsKeyType, text: &str) -> Result<(), Error> {
    let problem = match key_type {
        GcsKeyType::Service if !text.starts_with('/') => {
            "repoN-gcs-key-type=service needs the absolute path of the JSON key file of a service account, \
             not its content; for an access token set repoN-gcs-key-type=token."
        }
        GcsKeyType::Token if text.starts_with(['/', '{']) => {
            "repoN-gcs-key-type=token needs an access token; for a key file set repoN-gcs-key-type=service."
        }
        GcsKeyType::Service | GcsKeyType::Token | GcsKeyType::Auto => return Ok(()),
    };
    Err(s.invalid("repoN-gcs-key", key, "is not valid", Some(problem.to_owned())))
}
