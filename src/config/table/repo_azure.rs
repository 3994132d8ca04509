//! Repositories in Azure Blob Storage (`repoN-type=azure`).

use crate::config::{
    commands::Commands,
    spec::{Kind::*, OptionSpec, Section::*, row},
};

const REPO: Commands = Commands::REPO;
const URI_STYLES: &[&str] = &["host", "path"];

pub(super) static ROWS: &[OptionSpec] = &[
    row("repoN-azure-account", Global, String, REPO, "Azure account").secret(),
    row("repoN-azure-container", Global, String, REPO, "Azure container"),
    row("repoN-azure-endpoint", Global, String, REPO, "Azure endpoint")
        .default("blob.core.windows.net")
        .secret(),
    row("repoN-azure-key", Global, String, REPO, "Azure key").secret(),
    row(
        "repoN-azure-key-type",
        Global,
        Word(&["shared", "sas", "auto"]),
        REPO,
        "Kind of Azure key",
    )
    .default("shared"),
    row("repoN-azure-uri-style", Global, Word(URI_STYLES), REPO, "Form of Azure addresses")
        .default("host"),
];
