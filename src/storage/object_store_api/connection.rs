//! How a store is reached: its address, whom its certificate must be signed by, how long to wait.

use std::{fs, path::Path, path::PathBuf, time::Duration};

use object_store::{Certificate, ClientOptions, RetryConfig};

use super::super::{Error, ErrorKind, Result};
use crate::types::ErrorCode;

/// The longest wait for a connection: a host that is there answers sooner.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(20);

/// How a store is reached.
#[derive(Clone, Debug)]
pub struct ConnectionOptions {
    /// Its host, perhaps with a port; `http://` before it for a store without TLS.
    pub endpoint: String,
    /// Connect to this host in its place.
    pub host: Option<String>,
    /// Connect to this port.
    pub port: Option<u16>,
    /// Authorities in a file, in PEM. With these or those of `ca_path` the system's are not asked.
    pub ca_file: Option<PathBuf>,
    /// Authorities in the files of a directory.
    pub ca_path: Option<PathBuf>,
    /// Whether the store's certificate is verified.
    pub verify_tls: bool,
    /// The longest time without a byte.
    pub timeout: Duration,
}

/// The address of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::storage) struct Endpoint {
    /// Whether it is reached through TLS.
    tls: bool,
    /// Host, and port if it is not the usual one.
    pub(in crate::storage) authority: String,
    /// What is connected to in its place.
    pub(in crate::storage) connect_to: Option<String>,
}

/// An option that makes no sense.
pub(in crate::storage) fn invalid(location: &str, what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Other, "open", location)
        .caused_by(what.into())
        .with_code(ErrorCode::OptionInvalidValue)
}

impl Endpoint {
    /// `subdomain` is put before the host: stores give each account or bucket one.
    pub(in crate::storage) fn new(
        location: &str,
        options: &ConnectionOptions,
        subdomain: Option<&str>,
    ) -> Result<Self> {
        let (tls, rest) = match options.endpoint.split_once("://") {
            None => (true, options.endpoint.as_str()),
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            Some(_) => return Err(invalid(location, "the endpoint begins with an unknown scheme")),
        };
        let authority = rest.trim_end_matches('/');
        if authority.is_empty() || authority.contains(['/', '@', '?', '#', ' ']) {
            return Err(invalid(location, "the endpoint is not the name of a host"));
        }
        let mut authority = match subdomain {
            Some(name) => format!("{name}.{authority}"),
            None => authority.to_owned(),
        };
        let mut connect_to = None;
        match (&options.host, options.port) {
            (Some(host), port) => {
                let port = port.or(split(&authority).1).map(|port| format!(":{port}"));
                connect_to = Some(format!("{host}{}", port.unwrap_or_default()));
            }
            (None, Some(port)) => authority = format!("{}:{port}", split(&authority).0),
            (None, None) => {}
        }
        Ok(Self { tls, authority, connect_to })
    }

    pub(in crate::storage) fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// The root of all addresses.
    pub(in crate::storage) fn url(&self) -> String {
        format!("{}://{}", self.scheme(), self.authority)
    }

    /// Whether this is the address of the store.
    pub(super) fn is(&self, host: &str, port: Option<u16>) -> bool {
        let (own_host, own_port) = split(&self.authority);
        let usual = if self.tls { 443 } else { 80 };
        own_host.eq_ignore_ascii_case(host) && own_port.unwrap_or(usual) == port.unwrap_or(usual)
    }
}

/// Host and port. An IPv6 address stands in brackets.
fn split(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()),
        _ => (authority, None),
    }
}

impl ConnectionOptions {
    /// The crate's options for the connections to the store.
    pub(in crate::storage) fn of_the_store(&self, location: &str) -> Result<ClientOptions> {
        let mut options = self
            .of_others()
            .with_allow_http(self.endpoint.starts_with("http://"))
            .with_allow_invalid_certificates(!self.verify_tls);
        if self.ca_file.is_some() || self.ca_path.is_some() {
            options = options.with_no_system_certificates(true);
        }
        for certificate in self.authorities(location)? {
            options = options.with_root_certificate(certificate);
        }
        Ok(options)
    }

    /// The crate's options for connections to services that give out tokens.
    pub(in crate::storage) fn of_others(&self) -> ClientOptions {
        // A request is bounded where it is retried. A body may take any time, as long as it does not stand still.
        ClientOptions::new()
            .with_timeout_disabled()
            .with_read_timeout(self.timeout)
            .with_connect_timeout(self.timeout.min(CONNECT_TIMEOUT_MAX))
    }

    fn authorities(&self, location: &str) -> Result<Vec<Certificate>> {
        let mut all = Vec::new();
        if let Some(file) = &self.ca_file {
            let found = certificates_in(location, file)?;
            if found.is_empty() {
                return Err(invalid(location, format!("no certificate in '{}'", file.display())));
            }
            all.extend(found);
        }
        if let Some(directory) = &self.ca_path {
            let unreadable = |error| unreadable(location, directory, error);
            for entry in fs::read_dir(directory).map_err(unreadable)? {
                let path = entry.map_err(unreadable)?.path();
                if path.is_file() {
                    all.extend(certificates_in(location, &path)?);
                }
            }
        }
        Ok(all)
    }
}

/// The certificates of a file; none if it holds something else.
fn certificates_in(location: &str, file: &Path) -> Result<Vec<Certificate>> {
    let bytes = fs::read(file).map_err(|error| unreadable(location, file, error))?;
    let marker = b"-----BEGIN CERTIFICATE-----";
    if !bytes.windows(marker.len()).any(|window| window == marker) {
        return Ok(Vec::new());
    }
    Certificate::from_pem_bundle(&bytes).map_err(|error| {
        let cause = super::answer::broken(&error);
        invalid(location, format!("'{}' is no certificate: {cause}", file.display()))
    })
}

fn unreadable(location: &str, path: &Path, error: std::io::Error) -> Error {
    let text = format!("unable to read '{}': {error}", path.display());
    Error::new(ErrorKind::Other, "open", location).caused_by(text).with_code(ErrorCode::FileOpen)
}

/// Requests are tried again in one place, and that is not here.
pub(in crate::storage) fn no_retries() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}
