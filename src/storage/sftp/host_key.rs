//! Whether the host that answers is the one that is meant.

use std::{io, path::PathBuf, sync::Arc};

use russh::{
    client,
    keys::{Algorithm, EcdsaCurve, HashAlg, PublicKey, PublicKeyBase64, PublicKeyOrCertificate},
};

use super::{
    Fingerprint, HostKeyPolicy, SftpOptions,
    known_hosts::{self, KnownHosts, Verdict},
};
use crate::{
    storage::{Error, ErrorKind},
    types::FingerprintHash,
};

/// Why a handshake did not come to its end.
#[derive(Debug)]
pub(super) enum HandshakeError {
    /// The protocol or the connection failed.
    Ssh(russh::Error),
    /// The host's key is not good.
    HostKey(Rejection),
}

impl From<russh::Error> for HandshakeError {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

/// Why a host's key is not good.
#[derive(Debug)]
pub(super) enum Rejection {
    /// No file knows the host.
    Unknown { shown: String },
    /// A file knows the host by another key.
    Changed { shown: String, file: PathBuf, line: usize },
    /// A file marks the key as revoked.
    Revoked { shown: String, file: PathBuf, line: usize },
    /// It has another fingerprint than the configured one.
    Fingerprint { shown: String },
    /// It is new and cannot be noted down.
    NotRecorded { file: PathBuf, error: io::Error },
    /// Keys are to be noted down, but there is no file for them.
    NoFile,
}

/// The judge of one connection's host key.
#[derive(Clone)]
pub(super) struct HostKeyVerifier {
    host: String,
    port: u16,
    policy: HostKeyPolicy,
    known: Arc<KnownHosts>,
    /// Where new keys go.
    new_keys: Option<PathBuf>,
}

impl HostKeyVerifier {
    /// Reads the files that the policy needs. It blocks.
    pub(super) fn prepare(options: &SftpOptions) -> Result<Self, (PathBuf, io::Error)> {
        let (host, port) = (options.host.clone(), options.port);
        let known = match options.host_key {
            HostKeyPolicy::Strict | HostKeyPolicy::AcceptNew => {
                KnownHosts::load(&options.known_hosts, &host, port)?
            }
            HostKeyPolicy::Fingerprint(_) | HostKeyPolicy::None => KnownHosts::default(),
        };
        let new_keys = options.known_hosts.first().cloned();
        let policy = options.host_key.clone();
        Ok(Self { host, port, policy, known: Arc::new(known), new_keys })
    }

    /// The kinds of key to ask the host for, one list for each handshake to be tried. A host shows one of its keys
    /// only: it is asked for one that is known first, and where only a fingerprint is known, for one kind after the
    /// other.
    pub(super) fn algorithms(&self) -> Vec<Vec<Algorithm>> {
        let families = families();
        if let HostKeyPolicy::Fingerprint(_) = self.policy {
            return families;
        }
        let known: Vec<&str> = self.known.key_types().collect();
        let mut all: Vec<Algorithm> = families.into_iter().flatten().collect();
        // The sort is stable: what is known comes first, each part in the usual order.
        all.sort_by_key(|algorithm| !known.contains(&key_type(algorithm).as_str()));
        vec![all]
    }

    fn judge(&self, key: &PublicKey) -> Result<(), Rejection> {
        let blob = key.public_key_bytes();
        match &self.policy {
            HostKeyPolicy::None => Ok(()),
            HostKeyPolicy::Fingerprint(wanted) if wanted.is_of(&blob) => Ok(()),
            HostKeyPolicy::Fingerprint(_) => Err(Rejection::Fingerprint { shown: shown(key) }),
            HostKeyPolicy::Strict | HostKeyPolicy::AcceptNew => match self.known.judge(&blob) {
                Verdict::Known => Ok(()),
                Verdict::Unknown => self.judge_unknown(key),
                Verdict::Changed(file, line) => {
                    Err(Rejection::Changed { shown: shown(key), file, line })
                }
                Verdict::Revoked(file, line) => {
                    Err(Rejection::Revoked { shown: shown(key), file, line })
                }
            },
        }
    }

    fn judge_unknown(&self, key: &PublicKey) -> Result<(), Rejection> {
        if self.policy != HostKeyPolicy::AcceptNew {
            return Err(Rejection::Unknown { shown: shown(key) });
        }
        let file = self.new_keys.clone().ok_or(Rejection::NoFile)?;
        let line = format!("{} {}", key_type(&key.algorithm()), key.public_key_base64());
        match known_hosts::append(&file, &self.host, self.port, &line) {
            Ok(()) => {
                let host = known_hosts::name_of(&self.host, self.port);
                tracing::info!(
                    "the new host key {} of {host} was added to '{}'",
                    shown(key),
                    file.display()
                );
                Ok(())
            }
            Err(error) => Err(Rejection::NotRecorded { file, error }),
        }
    }
}

impl client::Handler for HostKeyVerifier {
    type Error = HandshakeError;

    async fn check_server_key(
        &mut self,
        key: &PublicKeyOrCertificate,
    ) -> Result<bool, HandshakeError> {
        let (check, key) = (self.clone(), key.public_key());
        let judged = tokio::task::spawn_blocking(move || check.judge(&key)).await;
        match judged {
            Ok(verdict) => verdict.map(|()| true).map_err(HandshakeError::HostKey),
            Err(_) => Ok(false),
        }
    }
}

impl Rejection {
    /// The error of connecting to `server`, whose known-hosts name is `host`.
    pub(super) fn error(self, server: &str, host: &str) -> Error {
        let refused =
            |cause: String| Error::new(ErrorKind::Denied, "connect to", server).caused_by(cause);
        match self {
            Self::Unknown { shown } => refused(format!("the host key {shown} is unknown")).with_hint(format!(
                "compare it with the output of 'ssh-keygen -lf' on the host, then add the key of \
                 {host} to a file of repo-sftp-known-host, or set \
                 repo-sftp-host-key-check-type=accept-new"
            )),
            Self::Changed { shown, file, line } => refused(format!(
                "the host key has changed: it is {shown}, and another one is known from '{}', line {line}",
                file.display()
            ))
            .with_hint(
                "this may be a man-in-the-middle attack; replace that line only if the host key \
                 was changed on purpose",
            ),
            Self::Revoked { shown, file, line } => refused(format!(
                "the host key {shown} is marked as revoked in '{}', line {line}",
                file.display()
            ))
            .with_hint("the host needs a new key"),
            Self::Fingerprint { shown } => {
                refused(format!("the host key {shown} has another fingerprint than the configured one"))
                    .with_hint("compare repo-sftp-host-fingerprint with the output of 'ssh-keygen \
                                -lf' on the host")
            }
            Self::NotRecorded { file, error } => {
                refused(format!("the new host key cannot be added to '{}': {error}", file.display()))
                    .with_hint("set a writable file first in repo-sftp-known-host")
            }
            Self::NoFile => refused("there is no known_hosts file for new host keys".to_owned())
                .with_hint("set one in repo-sftp-known-host"),
        }
    }
}

/// A key as `ssh-keygen -l` shows it.
fn shown(key: &PublicKey) -> String {
    let fingerprint = Fingerprint::of(&key.public_key_bytes(), FingerprintHash::Sha256);
    let text = fingerprint.map(|fingerprint| fingerprint.to_string()).unwrap_or_default();
    format!("{text} ({})", key_type(&key.algorithm()))
}

/// The name of a key's type as known-hosts files write it: RSA has one, whatever it signs with.
fn key_type(algorithm: &Algorithm) -> String {
    match algorithm {
        Algorithm::Rsa { .. } => "ssh-rsa".to_owned(),
        other => other.as_str().to_owned(),
    }
}

/// The kinds of host key that are good enough; RSA with SHA-1 is not among them.
fn families() -> Vec<Vec<Algorithm>> {
    let curve = |curve| Algorithm::Ecdsa { curve };
    let rsa = |hash| Algorithm::Rsa { hash: Some(hash) };
    vec![
        vec![Algorithm::Ed25519],
        vec![EcdsaCurve::NistP256, EcdsaCurve::NistP384, EcdsaCurve::NistP521]
            .into_iter()
            .map(curve)
            .collect(),
        vec![HashAlg::Sha512, HashAlg::Sha256].into_iter().map(rsa).collect(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(policy: HostKeyPolicy, files: Vec<PathBuf>) -> HostKeyVerifier {
        let options = SftpOptions {
            host: "host".into(),
            port: 22,
            user: "u".into(),
            root: "/r".into(),
            host_key: policy,
            known_hosts: files,
            login: super::super::Login::Agent { socket: None, public: None },
            timeout: std::time::Duration::from_secs(1),
        };
        HostKeyVerifier::prepare(&options).unwrap()
    }

    #[test]
    fn the_host_is_asked_for_the_kind_of_key_that_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("known");
        std::fs::write(&file, "host ssh-rsa AAAA\n@revoked host ssh-ed25519 AAAA\n").unwrap();
        let asked = check(HostKeyPolicy::Strict, vec![file]).algorithms();
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0][0], Algorithm::Rsa { hash: Some(HashAlg::Sha512) });
        assert_eq!(asked[0][2], Algorithm::Ed25519);
        let none = check(HostKeyPolicy::AcceptNew, vec![]).algorithms();
        assert_eq!(none[0][0], Algorithm::Ed25519);
    }

    #[test]
    fn with_a_fingerprint_every_kind_of_key_is_tried() {
        let wanted = Fingerprint::of(b"key", FingerprintHash::Sha256).unwrap();
        assert_eq!(check(HostKeyPolicy::Fingerprint(wanted), vec![]).algorithms().len(), 3);
    }
}
