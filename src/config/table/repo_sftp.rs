//! Repositories behind SFTP (`repoN-type=sftp`).

use crate::config::{
    commands::Commands,
    spec::{Kind::*, OptionSpec, Section::*, row},
};

const REPO: Commands = Commands::REPO;

pub(super) static ROWS: &[OptionSpec] = &[
    row("repoN-sftp-host", Global, String, REPO, "Host of the repository, reached with SFTP")
        .example("backup.example"),
    row(
        "repoN-sftp-host-fingerprint",
        Global,
        String,
        REPO,
        "Fingerprint that the host's key must have",
    )
    .detail(
        "In hexadecimal or base64, as ssh-keygen -l prints it; for host-key-check-type=fingerprint.",
    )
    .example("SHA256:ZLyBoMMTSmRDHsNAdKNMcFEPhZ0kKpGnJYxCRdfEMYQ"),
    row(
        "repoN-sftp-host-key-check-type",
        Global,
        Word(&["accept-new", "fingerprint", "none", "strict"]),
        REPO,
        "Which keys of the host are good",
    )
    .detail(
        "strict: those in the known-hosts files. accept-new: the same, and the key of a host that is in none of \
         them is added to the first. fingerprint: the one with the configured fingerprint. none: any, which \
         lets anyone take the host's place.",
    )
    .default("strict"),
    row(
        "repoN-sftp-host-key-hash-type",
        Global,
        Word(&["md5", "sha1", "sha256"]),
        REPO,
        "Hash of the fingerprint",
    )
    .detail("Without it, the form of the fingerprint tells."),
    row("repoN-sftp-host-port", Global, Integer(1, 65535), REPO, "Port of the host's SSH server")
        .default("22"),
    row("repoN-sftp-host-user", Global, String, REPO, "User to log in as").example("pgstrata"),
    row("repoN-sftp-known-host", Global, List, REPO, "Files that say which host has which key")
        .detail(
            "May be given more than once; OpenSSH's own unless given. A name may begin with ~/. New keys are added \
             to the first.",
        )
        .example("~/.ssh/known_hosts"),
    row("repoN-sftp-private-key-file", Global, String, REPO, "Private key to log in with")
        .detail(
            "In OpenSSH's format or PEM. Without it, the keys of the agent that SSH_AUTH_SOCK names are used.",
        )
        .example("/etc/pgstrata/sftp-key"),
    row(
        "repoN-sftp-private-key-passphrase",
        Global,
        String,
        REPO,
        "Pass phrase of the private key",
    )
    .secret(),
    row("repoN-sftp-public-key-file", Global, String, REPO, "Public key to log in with")
        .detail(
            "Must be that of the private key. Without a private key file, the only key of the agent that is \
             offered.",
        )
        .example("/etc/pgstrata/sftp-key.pub"),
];
