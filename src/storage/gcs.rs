//! Repositories in a bucket of Google Cloud Storage.

use std::{fmt, path::PathBuf, sync::Arc};

use http::HeaderName;
use object_store::{
    Attribute, Attributes, HeaderValue, StaticCredentialProvider, TagSet,
    gcp::{GcpCredential, GoogleCloudStorage, GoogleCloudStorageBuilder},
};

use super::{
    ConnectionOptions, Error, ErrorKind, Result,
    bucket::{BucketStorage, CreateOnly, PART_SIZE, Traits, WHOLE_MAX},
    object_store_api::{
        Connector, Endpoint, ObjectStoreApi, Profile, Route, invalid, no_retries, scrubbed,
    },
    requests::Requests,
};
use crate::{host::read_small_text, types::ErrorCode};

/// The smallest part that the store takes, but for the last.
const PART_SIZE_MIN: usize = 5 << 20;
/// The largest file of a service account that is read, in bytes.
const KEY_FILE_BYTES_MAX: u64 = 1 << 20;

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
    /// Where the store is, and how it is reached.
    pub connection: ConnectionOptions,
    /// Bytes of a part of a large object; `None`: what suits the store.
    pub part_size: Option<usize>,
}

/// What opens a bucket. `Debug` shows neither a token nor what was given as the path of a file.
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
            Self::Service(_) => f.write_str("Service(***)"),
            Self::Token(_) => f.write_str("Token(***)"),
            Self::Auto { file } => f.debug_struct("Auto").field("file", file).finish(),
        }
    }
}

/// Opens the repository below `prefix`. No request is made.
pub fn open(options: &GcsOptions, prefix: &str, requests: Requests) -> Result<BucketStorage> {
    let location = format!("gs://{}", options.bucket);
    let attributes = metadata(&options.tags, &location)?;
    let profile = Profile {
        location: location.clone(),
        bucket: format!("bucket '{}'", options.bucket),
        bucket_option: "repoN-gcs-bucket",
        key_option: "repoN-gcs-key",
        traits: Traits {
            put: CreateOnly::Kept,
            // Uploads of the XML interface take no conditions.
            complete: CreateOnly::NotKept,
            whole_max: options.part_size.unwrap_or(WHOLE_MAX),
            part_size: options.part_size.unwrap_or(PART_SIZE).max(PART_SIZE_MIN),
            delete_max: 1,
        },
        attributes,
        tags: TagSet::default(),
        prefix_is_left_out: false,
        parts_hold_the_name: false,
        backslash_is_slash: false,
        look_explains_absence: false,
    };
    let store = store(options, &location)?;
    Ok(BucketStorage::new(ObjectStoreApi::new(store, profile), prefix, requests))
}

fn store(options: &GcsOptions, location: &str) -> Result<GoogleCloudStorage> {
    let connection = &options.connection;
    let endpoint = Endpoint::led(location, connection)?;
    let url = endpoint.named.to_string();
    let user_project = match &options.user_project {
        None => None,
        Some(project) => Some(HeaderValue::from_str(project).map_err(|_| {
            invalid(location, "repoN-gcs-user-project is not a valid project name")
        })?),
    };
    let route = Route { endpoint, user_project, amend: None };
    let builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(&options.bucket)
        .with_base_url(&url)
        .with_retry(no_retries())
        .with_http_connector(Connector::new(route, &connection.http)?);
    with_key(builder, &options.key, location)?
        .build()
        .map_err(|error| invalid(location, scrubbed(&error)))
}

/// Tags as the metadata of objects, which is sent as headers. The crate would panic at what is none.
fn metadata(tags: &[(String, String)], location: &str) -> Result<Attributes> {
    let attribute = |(name, value): &(String, String)| {
        let named = HeaderName::try_from(format!("x-goog-meta-{name}")).is_ok();
        match named && HeaderValue::from_str(value).is_ok() {
            true => Ok((Attribute::Metadata(name.clone().into()), value.clone())),
            false => {
                Err(invalid(location, format!("the tag '{name}' is not valid in an HTTP header")))
            }
        }
    };
    tags.iter().map(attribute).collect()
}

fn with_key(
    builder: GoogleCloudStorageBuilder,
    key: &GcsKey,
    location: &str,
) -> Result<GoogleCloudStorageBuilder> {
    Ok(match key {
        GcsKey::Service(file) => builder.with_service_account_key(read(location, file)?),
        GcsKey::Token(token) => {
            let bearer = token.trim().to_owned();
            if HeaderValue::from_str(&bearer).is_err() {
                return Err(invalid(location, "repoN-gcs-key is not a valid token"));
            }
            let credential = GcpCredential { bearer };
            builder.with_credentials(Arc::new(StaticCredentialProvider::new(credential)))
        }
        GcsKey::Auto { file: Some(file) } => {
            builder.with_application_credentials(file.to_string_lossy())
        }
        GcsKey::Auto { file: None } => builder,
    })
}

fn read(location: &str, file: &std::path::Path) -> Result<String> {
    read_small_text(file, KEY_FILE_BYTES_MAX).map_err(|error| {
        // The path is not shown: a key that was given in its place would be.
        let text = format!("unable to read the file that repoN-gcs-key names: {error}");
        Error::new(ErrorKind::Other, "open", location)
            .caused_by(text)
            .with_code(ErrorCode::FileOpen)
            .with_hint("repoN-gcs-key must be the path of the JSON key file of a service account")
    })
}

#[cfg(test)]
mod tests;
