//! Repositories behind SFTP. They come in a later release: the options are read and checked, and
//! `repoN-type` is what is refused.

use crate::config::{
    commands::Commands,
    spec::{Kind::*, OptionSpec, Section::*, row},
};

const REPO: Commands = Commands::REPO;
const SFTP: &str = "it belongs to repoN-type=sftp, which comes in a later release";

pub(super) static ROWS: &[OptionSpec] = &[
    row("repoN-sftp-host", Global, String, REPO, "SFTP host").accepted(SFTP),
    row("repoN-sftp-host-fingerprint", Global, String, REPO, "Fingerprint of the SFTP host")
        .accepted(SFTP),
    row(
        "repoN-sftp-host-key-check-type",
        Global,
        Word(&["accept-new", "fingerprint", "none", "strict"]),
        REPO,
        "Check of the SFTP host key",
    )
    .default("strict")
    .accepted(SFTP),
    row(
        "repoN-sftp-host-key-hash-type",
        Global,
        Word(&["md5", "sha1", "sha256"]),
        REPO,
        "Hash of the SFTP host key",
    )
    .accepted(SFTP),
    row("repoN-sftp-host-port", Global, Integer(1, 65535), REPO, "SFTP port")
        .default("22")
        .accepted(SFTP),
    row("repoN-sftp-host-user", Global, String, REPO, "SFTP user").accepted(SFTP),
    row("repoN-sftp-known-host", Global, List, REPO, "SFTP known_hosts file").accepted(SFTP),
    row("repoN-sftp-private-key-file", Global, String, REPO, "SFTP private key").accepted(SFTP),
    row("repoN-sftp-private-key-passphrase", Global, String, REPO, "Pass phrase of the SFTP key")
        .secret()
        .accepted(SFTP),
    row("repoN-sftp-public-key-file", Global, String, REPO, "SFTP public key").accepted(SFTP),
];
