//! `repoN-gcs-…`.

use super::needed;
use crate::config::{
    error::Error,
    settings::Settings,
    store::{GcsConfig, GcsKeyType},
};

pub(super) fn gcs(s: &Settings, key: u16) -> Result<GcsConfig, Error> {
    let key_type = match s.text("repoN-gcs-key-type", key)?.as_deref() {
        Some("token") => GcsKeyType::Token,
        Some("auto") => GcsKeyType::Auto,
        _ => GcsKeyType::Service,
    };
    let config = GcsConfig {
        bucket: needed(s, "repoN-gcs-bucket", key, s.text("repoN-gcs-bucket", key)?)?,
        endpoint: s.text("repoN-gcs-endpoint", key)?.unwrap_or_default(),
        key_type,
        key: s.secret("repoN-gcs-key", key)?,
        user_project: s.text("repoN-gcs-user-project", key)?,
    };
    if key_type != GcsKeyType::Auto {
        let text = needed(s, "repoN-gcs-key", key, config.key.as_ref())?.reveal();
        check_form(s, key, key_type, text)?;
    }
    Ok(config)
}

/// A key of the other type is refused here: further on, a token would be taken for a file name and shown as one.
fn check_form(s: &Settings, key: u16, key_type: GcsKeyType, text: &str) -> Result<(), Error> {
    let problem = match key_type {
        GcsKeyType::Service if !text.starts_with('/') => {
            "repoN-gcs-key-type=service takes the absolute path of the JSON file of a service account's key, \
             not what is in it; for an access token set repoN-gcs-key-type=token."
        }
        GcsKeyType::Token if text.starts_with(['/', '{']) => {
            "repoN-gcs-key-type=token takes an access token; for a file set repoN-gcs-key-type=service."
        }
        _ => return Ok(()),
    };
    Err(s.invalid("repoN-gcs-key", key, "is not valid", Some(problem.to_owned())))
}
