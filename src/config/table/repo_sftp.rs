//! Repositories on an SFTP server (`repoN-type=sftp`).

use std::path::PathBuf;

use crate::{
    config::{
        commands::Commands,
        error::Error,
        settings::Settings,
        spec::{Kind::*, OptionSpec, Section::*, row},
    },
    types::{FingerprintHash, HostKeyCheck, Secret},
};

const REPO: Commands = Commands::REPO;

pub(super) static ROWS: &[OptionSpec] = &[
    row("repoN-sftp-host", Global, Text, REPO, "SFTP host").example("backup.example"),
    row("repoN-sftp-host-fingerprint", Global, Text, REPO, "Fingerprint of the host key")
        .detail(
            "In hexadecimal or base64, as printed by ssh-keygen -l. For \
             repoN-sftp-host-key-check-type=fingerprint.",
        )
        .example("SHA256:ZLyBoMMTSmRDHsNAdKNMcFEPhZ0kKpGnJYxCRdfEMYQ"),
    row(
        "repoN-sftp-host-key-check-type",
        Global,
        Word(HostKeyCheck::WORDS),
        REPO,
        "Host key checking policy",
    )
    .detail(
        "strict: the key must be in a known_hosts file. accept-new: the same, and the key of an unknown host \
         is added to the first file. fingerprint: the key must have the configured fingerprint. none: any \
         key is accepted, which does not protect against another host in its place.",
    )
    .default("strict")
    .example("accept-new"),
    row(
        "repoN-sftp-host-key-hash-type",
        Global,
        Word(FingerprintHash::WORDS),
        REPO,
        "Hash type of the fingerprint",
    )
    .detail("Default: determined from the form of the fingerprint.")
    .example("sha256"),
    row("repoN-sftp-host-port", Global, Integer(1, 65535), REPO, "SFTP port")
        .default("22")
        .example("2222"),
    row("repoN-sftp-host-user", Global, Text, REPO, "SFTP user").example("pgstrata"),
    row("repoN-sftp-known-host", Global, List, REPO, "known_hosts file")
        .detail(
            "May be given more than once, and begin with ~/. Keys of new hosts are added to the first file. \
             Default: the files of OpenSSH.",
        )
        .example("~/.ssh/known_hosts"),
    row("repoN-sftp-private-key-file", Global, Text, REPO, "Private key file")
        .detail(
            "In OpenSSH or PEM format. Default: the keys of the SSH agent that SSH_AUTH_SOCK names.",
        )
        .example("/etc/pgstrata/sftp-key"),
    row(
        "repoN-sftp-private-key-passphrase",
        Global,
        Text,
        REPO,
        "Pass phrase of the private key",
    )
    .secret(),
    row("repoN-sftp-public-key-file", Global, Text, REPO, "Public key file")
        .detail(
            "Must belong to the private key. Without a private key file, it selects the key of the SSH agent \
             to use.",
        )
        .example("/etc/pgstrata/sftp-key.pub"),
];

/// `repoN-sftp-…`.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct SftpConfig {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub host_key_check: HostKeyCheck,
    pub fingerprint: Option<String>,
    pub fingerprint_hash: Option<FingerprintHash>,
    pub known_hosts: Vec<PathBuf>,
    /// `None`: the keys of the SSH agent.
    pub private_key_file: Option<PathBuf>,
    pub private_key_passphrase: Option<Secret>,
    pub public_key_file: Option<PathBuf>,
}

pub(super) fn read(s: &Settings, key: u16) -> Result<SftpConfig, Error> {
    let text = |name| s.text(name, key);
    let needed_text = |name| s.needed(name, key, s.text(name, key)?);
    let config = SftpConfig {
        host: needed_text("repoN-sftp-host")?,
        port: s.needed("repoN-sftp-host-port", key, s.integer("repoN-sftp-host-port", key)?)?,
        user: needed_text("repoN-sftp-host-user")?,
        host_key_check: s.word_of("repoN-sftp-host-key-check-type", key)?,
        fingerprint: text("repoN-sftp-host-fingerprint")?,
        fingerprint_hash: s.optional_word_of("repoN-sftp-host-key-hash-type", key)?,
        known_hosts: s.list_of("repoN-sftp-known-host", key)?.into_iter().map(Into::into).collect(),
        private_key_file: text("repoN-sftp-private-key-file")?.map(Into::into),
        private_key_passphrase: s.secret("repoN-sftp-private-key-passphrase", key)?,
        public_key_file: text("repoN-sftp-public-key-file")?.map(Into::into),
    };
    if config.host_key_check == HostKeyCheck::Fingerprint {
        s.needed("repoN-sftp-host-fingerprint", key, config.fingerprint.as_ref())?;
    }
    Ok(config)
}
