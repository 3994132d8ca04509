//! `repoN-azure-…`.

use super::{needed, uri_style};
use crate::config::{
    error::Error,
    settings::Settings,
    store::{AzureConfig, AzureKeyType, UriStyle},
};

pub(super) fn azure(s: &Settings, key: u16) -> Result<AzureConfig, Error> {
    let key_type = match s.text("repoN-azure-key-type", key)?.as_deref() {
        Some("sas") => AzureKeyType::Sas,
        Some("auto") => AzureKeyType::Auto,
        _ => AzureKeyType::Shared,
    };
    let account = s.secret("repoN-azure-account", key)?;
    let endpoint = s.secret("repoN-azure-endpoint", key)?;
    let container = s.text("repoN-azure-container", key)?;
    let config = AzureConfig {
        account: needed(s, "repoN-azure-account", key, account)?,
        container: needed(s, "repoN-azure-container", key, container)?,
        endpoint: needed(s, "repoN-azure-endpoint", key, endpoint)?,
        key_type,
        key: s.secret("repoN-azure-key", key)?,
        uri_style: style(s, key)?,
    };
    if key_type != AzureKeyType::Auto {
        needed(s, "repoN-azure-key", key, config.key.as_ref())?;
    }
    Ok(config)
}

/// Where another host is named and no style, that is an emulator, which wants the account in the path.
fn style(s: &Settings, key: u16) -> Result<UriStyle, Error> {
    let name = "repoN-azure-uri-style";
    match s.is_set("repoN-storage-host", key) && !s.is_set(name, key) {
        true => Ok(UriStyle::Path),
        false => uri_style(s, name, key),
    }
}
