//! Repositories in a bucket of Google Cloud Storage.

use std::{fmt, path::PathBuf, sync::Arc};

use object_store::{
    Attribute, Attributes, HeaderValue, StaticCredentialProvider,
    gcp::{GcpCredential, GoogleCloudStorage, GoogleCloudStorageBuilder},
};

use super::{
    ConnectionOptions, Error, ErrorKind, Result,
    bucket::{BucketStorage, CreateOnly, Traits},
    object_store_api::{
        Connector, Endpoint, ObjectStoreApi, Profile, Route, invalid, no_retries, scrubbed,
    },
    requests::Requests,
};
use crate::types::ErrorCode;

/// Bytes of a part unless configured; four are in memory at a time.
const PART_SIZE: usize = 16 << 20;

/// The smallest part that the store takes, but for the last.
const PART_SIZE_MIN: usize = 5 << 20;

/// A bucket and how it is opened.
#[derive(Clone, Debug)]
pub struct GcsOptions {
    /// The bucket.
    pub bucket: String,
    /// What opens it.
    pub key: GcsKey,
    /// The project that pays for the requests.
    pub user_project: Option<String>,
    /// Metadata of new objects.
    pub tags: Vec<(String, String)>,
    /// How the store is reached.
    pub connection: ConnectionOptions,
    /// Bytes of a part of a large object; `None`: what suits the store.
    pub part_size: Option<usize>,
}

/// What opens a bucket. `Debug` shows no token.
#[derive(Clone)]
pub enum GcsKey {
    /// The file of a service account's key.
    Service(PathBuf),
    /// A token, sent as it is until it expires.
    Token(String),
    /// The default credentials: a file, else those that `gcloud` left, else the machine's.
    Auto {
        /// The file.
        file: Option<PathBuf>,
    },
}

impl fmt::Debug for GcsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(file) => f.debug_tuple("Service").field(file).finish(),
            Self::Token(_) => f.write_str("Token(***)"),
            Self::Auto { file } => f.debug_struct("Auto").field("file", file).finish(),
        }
    }
}

/// Opens the repository below `prefix`. No request is made.
pub fn open(options: &GcsOptions, prefix: &str, requests: Requests) -> Result<BucketStorage> {
    let location = format!("gs://{}", options.bucket);
    let tags = options.tags.iter().cloned();
    let attributes: Attributes =
        tags.map(|(name, value)| (Attribute::Metadata(name.into()), value)).collect();
    let profile = Profile {
        location: location.clone(),
        bucket: format!("bucket '{}'", options.bucket),
        bucket_option: "repoN-gcs-bucket",
        key_option: "repoN-gcs-key",
        traits: Traits {
            put: CreateOnly::Kept,
            // Uploads of the XML interface take no conditions.
            complete: CreateOnly::NotKept,
            part_size: options.part_size.unwrap_or(PART_SIZE).max(PART_SIZE_MIN),
            delete_max: 1,
        },
        attributes,
        prefix_is_left_out: false,
        parts_hold_the_name: false,
        backslash_is_slash: false,
    };
    let store = store(options, &location)?;
    Ok(BucketStorage::new(ObjectStoreApi::new(store, profile), prefix, requests))
}

fn store(options: &GcsOptions, location: &str) -> Result<GoogleCloudStorage> {
    let connection = &options.connection;
    let endpoint = Endpoint::new(location, connection, None)?;
    let url = endpoint.url();
    let user_project =
        match &options.user_project {
            None => None,
            Some(project) => Some(HeaderValue::from_str(project).map_err(|_| {
                invalid(location, "the project to bill is not the name of a project")
            })?),
        };
    let route = Route { endpoint, user_project, completes_create_only: false };
    let refused = |error| invalid(location, scrubbed(&error));
    let connector = Connector::new(route, connection)?;
    let builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(&options.bucket)
        .with_base_url(&url)
        .with_retry(no_retries())
        .with_client_options(connection.of_others())
        .with_http_connector(connector);
    with_key(builder, &options.key, location)?.build().map_err(refused)
}

fn with_key(
    builder: GoogleCloudStorageBuilder,
    key: &GcsKey,
    location: &str,
) -> Result<GoogleCloudStorageBuilder> {
    Ok(match key {
        GcsKey::Service(file) => builder.with_service_account_key(read(location, file)?),
        GcsKey::Token(token) => {
            let credential = GcpCredential { bearer: token.trim().to_owned() };
            builder.with_credentials(Arc::new(StaticCredentialProvider::new(credential)))
        }
        GcsKey::Auto { file: Some(file) } => {
            builder.with_application_credentials(file.to_string_lossy())
        }
        GcsKey::Auto { file: None } => builder,
    })
}

fn read(location: &str, file: &std::path::Path) -> Result<String> {
    std::fs::read_to_string(file).map_err(|error| {
        let text =
            format!("unable to read the service account's key '{}': {error}", file.display());
        Error::new(ErrorKind::Other, "open", location)
            .caused_by(text)
            .with_code(ErrorCode::FileOpen)
            .with_hint(
                "repoN-gcs-key is the path of the JSON file that Google made for the account",
            )
    })
}

#[cfg(test)]
mod tests;
