//! `repoN-s3-…`.

use super::{needed, uri_style};
use crate::config::{
    error::Error,
    settings::Settings,
    store::{S3Config, S3KeyType},
};

pub(super) fn s3(s: &Settings, key: u16) -> Result<S3Config, Error> {
    let text = |name| s.text(name, key);
    let needed_text = |name| needed(s, name, key, s.text(name, key)?);
    let key_type = match text("repoN-s3-key-type")?.as_deref() {
        Some("auto") => S3KeyType::Auto,
        Some("web-id") => S3KeyType::WebId,
        Some("pod-id") => S3KeyType::PodId,
        Some("process") => S3KeyType::Process,
        _ => S3KeyType::Shared,
    };
    let config = S3Config {
        bucket: needed_text("repoN-s3-bucket")?,
        endpoint: needed_text("repoN-s3-endpoint")?,
        region: needed_text("repoN-s3-region")?,
        key_type,
        key: s.secret("repoN-s3-key", key)?,
        key_secret: s.secret("repoN-s3-key-secret", key)?,
        token: s.secret("repoN-s3-token", key)?,
        role: text("repoN-s3-role")?,
        sts_host: text("repoN-s3-sts-host")?.unwrap_or_default(),
        process_cmd: s.list_of("repoN-s3-process-cmd", key)?,
        service: text("repoN-s3-service")?.unwrap_or_default(),
        uri_style: uri_style(s, "repoN-s3-uri-style", key)?,
        kms_key_id: text("repoN-s3-kms-key-id")?,
        sse_customer_key: s.secret("repoN-s3-sse-customer-key", key)?,
        requester_pays: s.boolean_of("repoN-s3-requester-pays", key)?,
    };
    if key_type == S3KeyType::Shared {
        needed(s, "repoN-s3-key", key, config.key.as_ref())?;
        needed(s, "repoN-s3-key-secret", key, config.key_secret.as_ref())?;
    }
    Ok(config)
}
