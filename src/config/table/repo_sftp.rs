//! Repositories behind SFTP (`repoN-type=sftp`).

use crate::config::{
    commands::Commands,
    spec::{Kind::*, OptionSpec, Section::*, row},
};

const REPO: Commands = Commands::REPO;

pub(super) static ROWS: &[OptionSpec] = &[
    row("repoN-sftp-host", Global, String, REPO, "SFTP host"),
    row("repoN-sftp-host-fingerprint", Global, String, REPO, "Fingerprint of the SFTP host"),
    row(
        "repoN-sftp-host-key-check-type",
        Global,
        Word(&["accept-new", "fingerprint", "none", "strict"]),
        REPO,
        "Check of the SFTP host key",
    )
    .default("strict"),
    row(
        "repoN-sftp-host-key-hash-type",
        Global,
        Word(&["md5", "sha1", "sha256"]),
        REPO,
        "Hash of the SFTP host key",
    ),
    row("repoN-sftp-host-port", Global, Integer(1, 65535), REPO, "SFTP port").default("22"),
    row("repoN-sftp-host-user", Global, String, REPO, "SFTP user"),
    row("repoN-sftp-known-host", Global, List, REPO, "SFTP known_hosts file"),
    row("repoN-sftp-private-key-file", Global, String, REPO, "SFTP private key"),
    row("repoN-sftp-private-key-passphrase", Global, String, REPO, "Pass phrase of the SFTP key")
        .secret(),
    row("repoN-sftp-public-key-file", Global, String, REPO, "SFTP public key"),
];
