//! How a store is reached: its address, whom its certificate must be signed by, how long to wait.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use object_store::{ClientOptions, RetryConfig};

use super::super::{Error, ErrorKind, Result, http::HttpOptions};
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
    /// Host, and port if it is not the usual one: what requests and signatures name.
    pub(super) authority: String,
    /// Host and port in the addresses that are connected to. The host is what the certificate must name.
    pub(super) reached_as: String,
    /// The host that is connected to in its place.
    resolved_as: Option<String>,
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
        let (mut reached_as, mut resolved_as) = (None, None);
        match (&options.host, options.port) {
            (Some(instead), port) => {
                let (named, named_port) = split(&authority);
                let port = port.or(named_port).map(|port| format!(":{port}")).unwrap_or_default();
                // No name is resolved for an address of numbers, so there is none to put another in place of.
                if is_numeric(named) {
                    reached_as = Some(format!("{instead}{port}"));
                } else {
                    reached_as = Some(format!("{named}{port}"));
                    resolved_as = Some(instead.trim_matches(['[', ']']).to_owned());
                }
            }
            (None, Some(port)) => authority = format!("{}:{port}", split(&authority).0),
            (None, None) => {}
        }
        let reached_as = reached_as.unwrap_or_else(|| authority.clone());
        Ok(Self { tls, authority, reached_as, resolved_as })
    }

    pub(super) fn scheme(&self) -> &'static str {
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

fn is_numeric(host: &str) -> bool {
    host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

impl ConnectionOptions {
    /// The client of the connections to the store.
    pub(super) fn client(&self, endpoint: &Endpoint) -> Result<reqwest::Client> {
        let options = HttpOptions {
            ca_file: self.ca_file.clone(),
            ca_path: self.ca_path.clone(),
            verify_tls: self.verify_tls,
            plain: !endpoint.tls,
            connect_to: endpoint.resolved_as.clone(),
        };
        options.client()
    }

    /// The crate's options for connections to services that give out tokens.
    pub(in crate::storage) fn of_others(&self) -> ClientOptions {
        // A request is bounded where it is retried.
        ClientOptions::new()
            .with_timeout_disabled()
            .with_read_timeout(self.timeout)
            .with_connect_timeout(self.timeout.min(CONNECT_TIMEOUT_MAX))
    }
}

/// Requests are tried again in one place, and that is not here.
pub(in crate::storage) fn no_retries() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}
