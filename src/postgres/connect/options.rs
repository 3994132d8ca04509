//! The resolved options of a connection, with all defaults applied.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use zeroize::Zeroizing;

use crate::postgres::{Error, Result};

/// A password, as bytes, because PostgreSQL does not require UTF-8. Never shown; its memory is zeroed on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Zeroizing<Vec<u8>>);

impl Password {
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Tcp {
        host: String,
        port: u16,
    },
    /// The unix socket `.s.PGSQL.<port>` in a directory.
    Socket {
        /// `None` searches [`Endpoint::DEFAULT_DIRECTORIES`].
        directory: Option<PathBuf>,
        port: u16,
    },
}

impl Endpoint {
    /// Default socket directories of distributions and of PostgreSQL.
    pub const DEFAULT_DIRECTORIES: [&'static str; 2] = ["/var/run/postgresql", "/tmp"];

    /// The path of the socket; `None` for TCP. Without a directory, the first default directory with the socket.
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

    /// The host to look up in the password file.
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
    Disable,
    /// Only if the server rejects a plain connection.
    Allow,
    /// If the server supports it, otherwise a plain connection.
    #[default]
    Prefer,
    /// Always. The certificate is verified only if a root certificate file exists.
    Require,
    /// Always. The certificate must be signed by a trusted CA.
    VerifyCa,
    /// Always. The certificate must be signed by a trusted CA and issued for the host name.
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
    Disable,
    /// If both sides support it.
    #[default]
    Prefer,
    /// Required.
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

/// TLS mode and files. `None`: no such file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SslOptions {
    pub mode: SslMode,
    /// Trusted CA certificates in PEM; `system` for those of the operating system.
    pub root_cert: Option<PathBuf>,
    /// Certificate revocation list in PEM.
    pub crl: Option<PathBuf>,
    /// The client's certificate chain in PEM.
    pub cert: Option<PathBuf>,
    /// The private key of the client certificate in PEM.
    pub key: Option<PathBuf>,
}

/// Created by [`ConnectOptions::resolve`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    pub endpoint: Endpoint,
    pub user: String,
    /// The database of SQL sessions.
    pub database: String,
    /// Password of SQL sessions.
    pub password: Option<Password>,
    /// Password of replication sessions, which may be a different line of the password file.
    pub replication_password: Option<Password>,
    pub ssl: SslOptions,
    pub channel_binding: ChannelBindingMode,
    /// Timeout for TCP connect, TLS and authentication together, per address.
    pub connect_timeout: Duration,
    /// Timeout of a query.
    pub query_timeout: Duration,
    /// Timeout without data while a stream is read.
    pub idle_timeout: Duration,
    /// `application_name`, shown in `pg_stat_activity`.
    pub application_name: String,
    /// PGOPTIONS, such as `-c search_path=app`.
    pub server_options: Option<String>,
}
