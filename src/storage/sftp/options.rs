//! What the store has to know of the other host.

use std::{path::PathBuf, time::Duration};

use super::Fingerprint;
use crate::types::Secret;

/// How to reach a directory of another host.
#[derive(Clone, Debug)]
pub struct SftpOptions {
    /// Its name or address.
    pub host: String,
    /// The port of its SSH server.
    pub port: u16,
    /// The user to log in as.
    pub user: String,
    /// The directory, as the server names it.
    pub root: String,
    /// Which keys of the host are good.
    pub host_key: HostKeyPolicy,
    /// The files that say which host has which key. New keys go to the first.
    pub known_hosts: Vec<PathBuf>,
    /// Who we are.
    pub login: Login,
    /// The longest time that connecting, or the answer to one request, may take.
    pub timeout: Duration,
}

impl SftpOptions {
    /// The server as errors name it.
    pub(super) fn server_name(&self) -> String {
        let port = match self.port {
            22 => String::new(),
            port => format!(":{port}"),
        };
        format!("sftp://{}@{}{port}", self.user, self.host)
    }
}

/// Which keys of a host are good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostKeyPolicy {
    /// Those that the known-hosts files name.
    Strict,
    /// As `Strict`; the key of a host that is in none of them is added to the first.
    AcceptNew,
    /// The one with this fingerprint.
    Fingerprint(Fingerprint),
    /// Any.
    None,
}

/// Who we are.
#[derive(Clone, Debug)]
pub enum Login {
    /// The owner of a key in a file.
    KeyFile {
        /// The private key.
        private: PathBuf,
        /// What opens it, where it is encrypted.
        passphrase: Option<Secret>,
        /// The public key, which must be that of the private key.
        public: Option<PathBuf>,
    },
    /// The owner of a key that an agent holds.
    Agent {
        /// The socket of the agent.
        socket: Option<PathBuf>,
        /// The only key of the agent that is offered; otherwise all of them are, in its order.
        public: Option<PathBuf>,
    },
}
