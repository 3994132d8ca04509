//! The resolved options of a connection: everything is decided, nothing is looked up any more.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use zeroize::Zeroizing;

use crate::postgres::{Error, Result};

/// A password, as bytes: PostgreSQL does not ask for UTF-8. Never shown; its memory is wiped when it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Zeroizing<Vec<u8>>);

impl Password {
    /// Wraps a password.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The password itself, for the authentication exchange.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A host name or address, and a port.
    Tcp {
        /// Name or address.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// A unix socket `.s.PGSQL.<port>` in a directory.
    Socket {
        /// The directory; `None` looks in [`Endpoint::DEFAULT_DIRECTORIES`].
        directory: Option<PathBuf>,
        /// The number in the socket's name.
        port: u16,
    },
}

impl Endpoint {
    /// Where distributions, and then PostgreSQL itself, put the socket.
    pub const DEFAULT_DIRECTORIES: [&'static str; 2] = ["/var/run/postgresql", "/tmp"];

    /// The path of the socket, or `None` for TCP. Without a directory: the first default one that
    /// holds the socket.
    pub fn socket_path(&self) -> Option<PathBuf> {
        let Self::Socket { directory, port } = self else { return None };
        let name = format!(".s.PGSQL.{port}");
        if let Some(directory) = directory {
            return Some(directory.join(name));
        }
        let mut candidates = Self::DEFAULT_DIRECTORIES.iter().map(|d| Path::new(d).join(&name));
        let existing = candidates.clone().find(|path| path.exists());
        existing.or_else(|| candidates.next())
    }

    /// The host part that a pass file's lines are matched against.
    pub(super) fn pass_file_host(&self) -> String {
        match self {
            Self::Tcp { host, .. } => host.clone(),
            Self::Socket { directory: Some(directory), .. }
                if !Self::DEFAULT_DIRECTORIES.iter().any(|d| directory == Path::new(d)) =>
            {
                directory.to_string_lossy().into_owned()
            }
            Self::Socket { .. } => "localhost".to_owned(),
        }
    }

    /// The port number.
    pub fn port(&self) -> u16 {
        match self {
            Self::Tcp { port, .. } | Self::Socket { port, .. } => *port,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Socket { .. } => {
                write!(f, "{}", self.socket_path().unwrap_or_default().display())
            }
        }
    }
}

/// libpq's `sslmode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// Never.
    Disable,
    /// Only where the server refuses a plain connection.
    Allow,
    /// Where the server offers it; a plain connection is the fallback.
    #[default]
    Prefer,
    /// Always; the certificate is verified only where a root certificate file exists.
    Require,
    /// Always, and the certificate must be signed by the root.
    VerifyCa,
    /// Always, signed by the root, and issued for the host's name.
    VerifyFull,
}

impl FromStr for SslMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "disable" => Self::Disable,
            "allow" => Self::Allow,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => {
                return Err(Error::Options(format!(
                    "sslmode '{}' is not disable, allow, prefer, require, verify-ca or verify-full",
                    text.escape_debug()
                )));
            }
        })
    }
}

/// libpq's `channel_binding`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelBindingMode {
    /// Never.
    Disable,
    /// Where both sides can.
    #[default]
    Prefer,
    /// Or no connection at all.
    Require,
}

impl FromStr for ChannelBindingMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "disable" => Self::Disable,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            _ => {
                return Err(Error::Options(format!(
                    "channel_binding '{}' is not disable, prefer or require",
                    text.escape_debug()
                )));
            }
        })
    }
}

/// Encryption: mode and files. A file that is `None` is not used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SslOptions {
    /// When to encrypt, and what to verify.
    pub mode: SslMode,
    /// Trusted roots in PEM; `system` stands for the operating system's roots.
    pub root_cert: Option<PathBuf>,
    /// Certificate revocation list in PEM.
    pub crl: Option<PathBuf>,
    /// The client's certificate chain in PEM.
    pub cert: Option<PathBuf>,
    /// The key of the client's certificate in PEM.
    pub key: Option<PathBuf>,
}

/// Everything that a connection needs; made by [`ConnectOptions::resolve`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    /// Where the server listens.
    pub endpoint: Endpoint,
    /// The role.
    pub user: String,
    /// The database of the SQL side channel.
    pub database: String,
    /// The password for the SQL side channel, where there is one.
    pub password: Option<Password>,
    /// The password for replication, where there is one; a pass file can tell the two apart.
    pub replication_password: Option<Password>,
    /// Encryption.
    pub ssl: SslOptions,
    /// Channel binding of SCRAM.
    pub channel_binding: ChannelBindingMode,
    /// Limit for reaching the server, TLS and authentication together, for each address tried.
    pub connect_timeout: Duration,
    /// Limit for the answer to a query.
    pub query_timeout: Duration,
    /// Limit for silence while a stream is read.
    pub idle_timeout: Duration,
    /// Shown in `pg_stat_activity`.
    pub application_name: String,
    /// What PGOPTIONS gives to the server's process, such as `-c search_path=app`.
    pub server_options: Option<String>,
}
