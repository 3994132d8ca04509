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
        needed(s, "repoN-gcs-key", key, config.key.as_ref())?;
    }
    Ok(config)
}
