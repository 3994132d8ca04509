//! `repoN-s3-…`.

use super::{needed, uri_style};
use crate::config::{
    error::Error,
    settings::Settings,
    store::{ObjectLockMode, S3Config, S3KeyType},
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
        sse_aes256: text("repoN-s3-sse")?.as_deref() == Some("aes256"),
        storage_class: text("repoN-s3-storage-class")?,
        object_lock: object_lock(s, key)?,
        requester_pays: s.boolean_of("repoN-s3-requester-pays", key)?,
    };
    if key_type == S3KeyType::Shared {
        needed(s, "repoN-s3-key", key, config.key.as_ref())?;
        needed(s, "repoN-s3-key-secret", key, config.key_secret.as_ref())?;
    }
    if key_type == S3KeyType::Process && config.process_cmd.is_empty() {
        needed(s, "repoN-s3-process-cmd", key, None::<()>)?;
    }
    check_encryption(&config, key)?;
    Ok(config)
}

/// A lock has both a mode and a length.
fn object_lock(s: &Settings, key: u16) -> Result<Option<(ObjectLockMode, u32)>, Error> {
    let mode = s.text("repoN-s3-object-lock-mode", key)?;
    let days = s.integer("repoN-s3-object-lock-days", key)?;
    let (Some(mode), Some(days)) = (&mode, days) else {
        if mode.is_some() {
            needed(s, "repoN-s3-object-lock-days", key, None::<()>)?;
        }
        if days.is_some() {
            needed(s, "repoN-s3-object-lock-mode", key, None::<()>)?;
        }
        return Ok(None);
    };
    let mode = match mode.as_str() {
        "compliance" => ObjectLockMode::Compliance,
        _ => ObjectLockMode::Governance,
    };
    Ok(Some((mode, days as u32)))
}

/// One object is encrypted in one way.
fn check_encryption(config: &S3Config, key: u16) -> Result<(), Error> {
    let ways = [
        ("sse", config.sse_aes256),
        ("kms-key-id", config.kms_key_id.is_some()),
        ("sse-customer-key", config.sse_customer_key.is_some()),
    ];
    let mut chosen = ways.into_iter().filter(|(_, chosen)| *chosen);
    match (chosen.next(), chosen.next()) {
        (Some((first, _)), Some((second, _))) => Err(Error::OptionConflict {
            option: format!("repo{key}-s3-{first}"),
            other: format!("repo{key}-s3-{second}"),
            hint: "the store encrypts an object in one way: choose one of them.",
        }),
        _ => Ok(()),
    }
}
