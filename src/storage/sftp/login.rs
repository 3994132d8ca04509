//! Logging in, with a key from a file or with those of an agent.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use russh::{
    client::{AuthResult, Handle},
    keys::{
        self, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey,
        agent::{AgentIdentity, client::AgentClient},
    },
};
use tokio::net::UnixStream;
use zeroize::Zeroizing;

use super::{
    Login, SftpOptions, connect_failure::failed, failure::shown, host_key::HostKeyVerifier,
};
use crate::{
    host::read_small_text,
    storage::{Error, ErrorKind, Result},
    types::Secret,
};

type Connection = Handle<HostKeyVerifier>;

/// Keys of an agent that are offered. Servers hang up after a few (`MaxAuthTries`, six as a rule).
const AGENT_KEYS_MAX: usize = 20;
/// The largest key file that is read, in bytes. An RSA key of 16,384 bits takes 13 KiB.
const KEY_FILE_BYTES_MAX: u64 = 1 << 20;

/// Logs in as the options say.
pub(super) async fn log_in(connection: &mut Connection, options: &SftpOptions) -> Result<()> {
    match &options.login {
        Login::KeyFile { private, passphrase, public } => {
            let key = load(options, private, passphrase.clone(), public.clone()).await?;
            with_key(connection, options, key, private).await
        }
        Login::Agent { socket, public } => {
            with_agent(connection, options, socket.as_deref(), public.as_deref()).await
        }
    }
}

fn denied(options: &SftpOptions, cause: impl Into<String>) -> Error {
    Error::new(ErrorKind::Denied, "log in to", options.server_name()).caused_by(cause.into())
}

/// Reads the key, on a thread of its own: opening an encrypted one takes time on purpose.
async fn load(
    options: &SftpOptions,
    private: &Path,
    passphrase: Option<Secret>,
    public: Option<PathBuf>,
) -> Result<PrivateKey> {
    let file = private.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        read_key(&file, passphrase.as_ref(), public.as_deref())
    });
    match read.await {
        Ok(Ok(key)) => Ok(key),
        Ok(Err(cause)) => Err(denied(options, cause)
            .with_hint("check repo-sftp-private-key-file and repo-sftp-private-key-passphrase")),
        Err(stopped) => Err(denied(options, "the private key was not read").caused_by(stopped)),
    }
}

fn read_key(
    file: &Path,
    passphrase: Option<&Secret>,
    public: Option<&Path>,
) -> std::result::Result<PrivateKey, String> {
    let named = |cause: &str| format!("the private key '{}' {cause}", file.display());
    let text = read_private(file).map_err(|error| named(&format!("cannot be read: {error}")))?;
    let key = keys::decode_secret_key(&text, passphrase.map(Secret::reveal));
    let key = key.map_err(|error| named(&unusable(&text, passphrase.is_some(), &error)))?;
    if key.is_encrypted() {
        return Err(named("is encrypted and no pass phrase is configured"));
    }
    if let Some(public) = public
        && read_public(public)?.key_data() != key.public_key().key_data()
    {
        return Err(named(&format!("does not belong to the public key '{}'", public.display())));
    }
    Ok(key)
}

fn read_private(file: &Path) -> io::Result<Zeroizing<String>> {
    let mode = fs::metadata(file)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(
            "the private key '{}' can be read by others (mode {:04o}): run chmod 600",
            file.display(),
            mode & 0o7777
        );
    }
    read_small_text(file, KEY_FILE_BYTES_MAX).map(Zeroizing::new)
}

/// Why a key could not be used; the library's own words may hold parts of it and are not repeated.
fn unusable(text: &str, has_passphrase: bool, error: &keys::Error) -> String {
    let encrypted = text.contains("ENCRYPTED")
        || matches!(error, keys::Error::KeyIsEncrypted)
        || (has_passphrase && text.contains("BEGIN OPENSSH PRIVATE KEY"));
    match (encrypted, has_passphrase) {
        (true, true) => "cannot be decrypted with the configured pass phrase".to_owned(),
        (true, false) => "is encrypted and no pass phrase is configured".to_owned(),
        (false, _) => "is in an unknown format (OpenSSH and PEM are supported)".to_owned(),
    }
}

fn read_public(file: &Path) -> std::result::Result<PublicKey, String> {
    let named =
        |cause: String| format!("the public key '{}' cannot be read: {cause}", file.display());
    let line = read_small_text(file, KEY_FILE_BYTES_MAX);
    let line = line.map_err(|error| named(error.to_string()))?;
    // Type, key, comment; a file without a type has the key alone.
    let mut words = line.split_whitespace();
    let key = words.next().map(|first| words.next().unwrap_or(first)).unwrap_or_default();
    keys::parse_public_key_base64(key).map_err(|_| named("it is not a public key".to_owned()))
}

async fn with_key(
    connection: &mut Connection,
    options: &SftpOptions,
    key: PrivateKey,
    file: &Path,
) -> Result<()> {
    let hash = rsa_hash(connection, options, key.public_key()).await?;
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
    let answer = connection.authenticate_publickey(options.user.clone(), key).await;
    let answer = answer.map_err(|error| failed(options, error))?;
    match answer {
        AuthResult::Success => Ok(()),
        refused => {
            let what = format!("the private key '{}'", file.display());
            Err(not_let_in(connection, options, &what, &refused))
        }
    }
}

/// RSA keys sign with the best hash that the server knows.
async fn rsa_hash(
    connection: &Connection,
    options: &SftpOptions,
    key: &PublicKey,
) -> Result<Option<HashAlg>> {
    if !key.algorithm().is_rsa() {
        return Ok(None);
    }
    let best = connection.best_supported_rsa_hash().await;
    Ok(best.map_err(|error| failed(options, error))?.flatten())
}

/// A server that says no is told from one that went away.
fn not_let_in(
    connection: &Connection,
    options: &SftpOptions,
    what: &str,
    answer: &AuthResult,
) -> Error {
    let AuthResult::Failure { remaining_methods, partial_success } = answer else {
        return denied(options, "no answer");
    };
    if remaining_methods.is_empty() && connection.is_closed() {
        return Error::new(ErrorKind::Transient, "log in to", options.server_name())
            .caused_by("the server closed the connection");
    }
    if *partial_success {
        return denied(options, format!("the server requires more than {what}"))
            .with_hint("allow the user to log in with public key authentication only");
    }
    denied(options, format!("the server does not accept {what} for user '{}'", options.user))
        .with_hint("add the public key to the user's authorized_keys on the host, and check the user's name")
}

async fn with_agent(
    connection: &mut Connection,
    options: &SftpOptions,
    socket: Option<&Path>,
    public: Option<&Path>,
) -> Result<()> {
    let mut agent = reach_agent(options, socket).await?;
    let said = |error: keys::Error| {
        denied(options, format!("the SSH agent does not respond: {}", shown(&error.to_string())))
    };
    let offered = agent.request_identities().await.map_err(said)?;
    let wanted = public.map(read_public).transpose().map_err(|cause| denied(options, cause))?;
    let mut keys = offered.into_iter().filter_map(|identity| plain_key(identity, wanted.as_ref()));
    let mut answer = None;
    for key in keys.by_ref().take(AGENT_KEYS_MAX) {
        let hash = rsa_hash(connection, options, &key).await?;
        let user = options.user.clone();
        // A key that the agent does not sign with is passed over.
        match connection.authenticate_publickey_with(user, key, hash, &mut agent).await {
            Ok(AuthResult::Success) => return Ok(()),
            Ok(refused) if connection.is_closed() => {
                return Err(not_let_in(connection, options, "the keys of the SSH agent", &refused));
            }
            Ok(refused) => answer = Some(refused),
            Err(error) => tracing::debug!("the SSH agent: {error:?}"),
        }
    }
    Err(match answer {
        Some(refused) => not_let_in(connection, options, "any key of the SSH agent", &refused),
        None => denied(options, "the SSH agent has no usable key")
            .with_hint("add the key with ssh-add, or set repo-sftp-private-key-file"),
    })
}

fn plain_key(identity: AgentIdentity, wanted: Option<&PublicKey>) -> Option<PublicKey> {
    let AgentIdentity::PublicKey { key, .. } = identity else { return None };
    wanted.is_none_or(|wanted| wanted.key_data() == key.key_data()).then_some(key)
}

async fn reach_agent(
    options: &SftpOptions,
    socket: Option<&Path>,
) -> Result<AgentClient<UnixStream>> {
    let Some(socket) = socket else {
        return Err(denied(options, "there is no private key and no SSH agent").with_hint(
            "set repo-sftp-private-key-file, or SSH_AUTH_SOCK to the socket of an agent",
        ));
    };
    AgentClient::connect_uds(socket).await.map_err(|error| {
        let cause = shown(&error.to_string());
        denied(
            options,
            format!("the SSH agent at '{}' cannot be reached: {cause}", socket.display()),
        )
        .with_hint("start an agent, or set repo-sftp-private-key-file")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    #[test]
    fn huge_key_files_are_refused_and_not_read_whole() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("id");
        // Sparse: it takes no room on the disk, and would take all memory.
        fs::File::create(&file).unwrap().set_len(4 << 40).unwrap();
        for refused in [read_key(&file, None, None).unwrap_err(), read_public(&file).unwrap_err()] {
            assert!(refused.contains("it has more than 1048576 bytes"), "{refused}");
        }
    }

    #[test]
    fn a_public_key_may_have_a_type_and_a_comment() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("id.pub");
        for text in [PUBLIC.to_owned(), format!("ssh-ed25519 {PUBLIC} me@host\n")] {
            fs::write(&file, text).unwrap();
            read_public(&file).unwrap();
        }
        for text in ["", "ssh-ed25519", "ssh-ed25519 AAAA"] {
            fs::write(&file, text).unwrap();
            assert!(read_public(&file).unwrap_err().contains("it is not a public key"), "{text}");
        }
    }
}
