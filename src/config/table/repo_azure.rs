//! Repositories in Azure Blob Storage (`repoN-type=azure`).

use crate::{
    config::{
        commands::Commands,
        error::Error,
        settings::Settings,
        spec::{Kind::*, OptionSpec, Section::*, row},
    },
    types::{Secret, UriStyle, words::words},
};

const REPO: Commands = Commands::REPO;

pub(super) static ROWS: &[OptionSpec] = &[
    row("repoN-azure-account", Global, Text, REPO, "Azure storage account")
        .secret()
        .example("examplebackups"),
    row("repoN-azure-container", Global, Text, REPO, "Azure container")
        .detail("It must exist.")
        .example("pg-backups"),
    row("repoN-azure-endpoint", Global, Text, REPO, "Azure Blob Storage endpoint")
        .default("blob.core.windows.net")
        .secret()
        .detail(
            "May be preceded by http:// for an emulator without TLS and followed by a port. \
             repoN-storage-host overrides it.",
        )
        .example("blob.core.usgovcloudapi.net"),
    row("repoN-azure-key", Global, Text, REPO, "Account key or shared access signature")
        .secret()
        .detail("repoN-azure-key-type says which of them it is."),
    row(
        "repoN-azure-key-type",
        Global,
        Word(AzureKeyType::WORDS),
        REPO,
        "Credential type: shared, sas or auto",
    )
    .default("shared")
    .detail(
        "shared is an account key, in base64. sas is a shared access signature, in the form of a query \
         string. auto is the managed identity of the virtual machine, or the workload identity that the \
         environment names.",
    )
    .example("sas"),
    row("repoN-azure-uri-style", Global, Word(UriStyle::WORDS), REPO, "URI style: host or path")
        .default("host")
        .detail(
            "host puts the account in front of the host name, path behind it, as emulators need it. Default \
             if repoN-storage-host is set: path.",
        )
        .example("path"),
];

/// `repoN-azure-…`.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct AzureConfig {
    pub account: Secret,
    pub container: String,
    pub endpoint: Secret,
    pub key_type: AzureKeyType,
    pub key: Option<Secret>,
    pub uri_style: UriStyle,
}

words! {
    /// `repoN-azure-key-type`.
    pub enum AzureKeyType ("Azure key type") {
        Shared = "shared",
        Sas = "sas",
        Auto = "auto",
    }
}

pub(super) fn read(s: &Settings, key: u16) -> Result<AzureConfig, Error> {
    let key_type = s.word_of("repoN-azure-key-type", key)?;
    let account = s.secret("repoN-azure-account", key)?;
    let endpoint = s.secret("repoN-azure-endpoint", key)?;
    let container = s.text("repoN-azure-container", key)?;
    let config = AzureConfig {
        account: s.needed("repoN-azure-account", key, account)?,
        container: s.needed("repoN-azure-container", key, container)?,
        endpoint: s.needed("repoN-azure-endpoint", key, endpoint)?,
        key_type,
        key: s.secret("repoN-azure-key", key)?,
        uri_style: uri_style(s, key)?,
    };
    if key_type != AzureKeyType::Auto {
        s.needed("repoN-azure-key", key, config.key.as_ref())?;
    }
    Ok(config)
}

/// Another host without a style is an emulator, which needs the account in the path.
fn uri_style(s: &Settings, key: u16) -> Result<UriStyle, Error> {
    let name = "repoN-azure-uri-style";
    if s.is_set("repoN-storage-host", key) && !s.is_set(name, key) {
        return Ok(UriStyle::Path);
    }
    s.word_of(name, key)
}
