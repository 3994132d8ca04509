//! Repositories in Azure Blob Storage (`repoN-type=azure`).

use crate::config::{
    commands::Commands,
    spec::{Kind::*, OptionSpec, Section::*, row},
};

const REPO: Commands = Commands::REPO;
const URI_STYLES: &[&str] = &["host", "path"];

pub(super) static ROWS: &[OptionSpec] = &[
    row("repoN-azure-account", Global, String, REPO, "Azure storage account")
        .secret()
        .example("examplebackups"),
    row("repoN-azure-container", Global, String, REPO, "Azure container, which must exist")
        .example("pg-backups"),
    row("repoN-azure-endpoint", Global, String, REPO, "Host of Azure Blob Storage")
        .default("blob.core.windows.net")
        .secret()
        .detail(
            "With `http://` before it for an emulator without TLS; a port may follow. \
             repoN-storage-host takes its place.",
        )
        .example("blob.core.usgovcloudapi.net"),
    row("repoN-azure-key", Global, String, REPO, "Key of the account, or shared access signature")
        .secret()
        .detail("What it is, repoN-azure-key-type says."),
    row(
        "repoN-azure-key-type",
        Global,
        Word(&["shared", "sas", "auto"]),
        REPO,
        "What opens the container",
    )
    .default("shared")
    .detail(
        "`shared` is a key of the account, in base64; `sas` a shared access signature, the query of \
         an address; `auto` the managed identity of the machine, or the workload identity that the \
         environment names.",
    )
    .example("sas"),
    row("repoN-azure-uri-style", Global, Word(URI_STYLES), REPO, "Where addresses name the account")
        .default("host")
        .detail(
            "`host`: before the host, `account.endpoint`. `path`: behind it, as emulators want it; that is \
             what holds where repoN-storage-host is set and this is not.",
        )
        .example("path"),
];
