//! `repoN-sftp-…`.

use super::needed;
use crate::config::{
    error::Error,
    settings::Settings,
    store::{HostKeyCheck, SftpConfig},
};

pub(super) fn sftp(s: &Settings, key: u16) -> Result<SftpConfig, Error> {
    let text = |name| s.text(name, key);
    let host_key_check = match text("repoN-sftp-host-key-check-type")?.as_deref() {
        Some("accept-new") => HostKeyCheck::AcceptNew,
        Some("fingerprint") => HostKeyCheck::Fingerprint,
        Some("none") => HostKeyCheck::None,
        _ => HostKeyCheck::Strict,
    };
    let config = SftpConfig {
        host: needed(s, "repoN-sftp-host", key, text("repoN-sftp-host")?)?,
        port: s.integer("repoN-sftp-host-port", key)?.unwrap_or(22) as u16,
        user: needed(s, "repoN-sftp-host-user", key, text("repoN-sftp-host-user")?)?,
        host_key_check,
        fingerprint: text("repoN-sftp-host-fingerprint")?,
        fingerprint_hash: text("repoN-sftp-host-key-hash-type")?,
        known_hosts: s.list_of("repoN-sftp-known-host", key)?.into_iter().map(Into::into).collect(),
        private_key_file: text("repoN-sftp-private-key-file")?.map(Into::into),
        private_key_passphrase: s.secret("repoN-sftp-private-key-passphrase", key)?,
        public_key_file: text("repoN-sftp-public-key-file")?.map(Into::into),
    };
    if host_key_check == HostKeyCheck::Fingerprint {
        needed(s, "repoN-sftp-host-fingerprint", key, config.fingerprint.as_ref())?;
    }
    Ok(config)
}
