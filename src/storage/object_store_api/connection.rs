//! Where a store is, and how it is reached.

use std::error::Error as _;

use object_store::RetryConfig;

use super::super::{
    Error, ErrorKind, Result,
    http::{HttpOptions, Place},
};
use crate::types::ErrorCode;

/// How a store is reached.
#[derive(Clone, Debug)]
pub struct ConnectionOptions {
    /// Its host, perhaps with a port; `http://` before it for a store without TLS.
    pub endpoint: String,
    /// Another host, written in the same way.
    pub host: Option<String>,
    /// The port, whatever the others say.
    pub port: Option<u16>,
    /// The CA certificates for its certificate.
    pub http: HttpOptions,
}

/// Where a store is.
#[derive(Clone, Debug)]
pub(in crate::storage) struct Endpoint {
    /// What requests name.
    pub(in crate::storage) named: Place,
    /// What to connect to, where it is not what requests name.
    pub(in crate::storage) reached: Option<Place>,
}

/// An option that makes no sense.
pub(in crate::storage) fn invalid(location: &str, what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Other, "open", location)
        .caused_by(what.into())
        .with_code(ErrorCode::OptionInvalidValue)
}

impl Endpoint {
    /// The configured endpoint; requests that name it go to the configured host.
    #[cfg(any(feature = "gcs", test))]
    pub(in crate::storage) fn led(location: &str, options: &ConnectionOptions) -> Result<Self> {
        let endpoint = endpoint(location, options)?;
        let (named, reached) =
            Place::named_and_reached(endpoint, options.host.as_deref(), options.port)?;
        Ok(Self { named, reached })
    }

    /// The configured host in place of the endpoint. That is its meaning for Azure in pgBackRest, where it is older than
    /// the option that names the endpoint.
    #[cfg(feature = "azure")]
    pub(in crate::storage) fn replaced(
        location: &str,
        options: &ConnectionOptions,
    ) -> Result<Self> {
        let endpoint = endpoint(location, options)?;
        let named = Place::reached(&endpoint, options.host.as_deref(), options.port)?;
        Ok(Self { named, reached: None })
    }

    /// Below the host: stores give each account one of its own. `None` if it cannot be there.
    #[cfg(feature = "azure")]
    pub(in crate::storage) fn subdomain(self, name: &str) -> Option<Self> {
        if self.named.is_address() {
            return None;
        }
        let Place { plain, host, port } = self.named;
        let named = Place { plain, host: format!("{name}.{host}"), port };
        Some(Self { named, ..self })
    }

    /// Whether connections are without TLS.
    pub(super) fn is_plain(&self) -> bool {
        self.named.plain
    }

    /// Whether requests to this host and port are for the store.
    pub(super) fn is(&self, host: &str, port: Option<u16>) -> bool {
        let usual = if self.named.plain { 80 } else { 443 };
        self.named.host.eq_ignore_ascii_case(host)
            && self.named.port.unwrap_or(usual) == port.unwrap_or(usual)
    }
}

/// The endpoint itself is not shown: Azure's is among what the configuration keeps to itself.
fn endpoint(location: &str, options: &ConnectionOptions) -> Result<Place> {
    Place::parse(&options.endpoint).map_err(|error| {
        let why = error.source().map(ToString::to_string).unwrap_or_default();
        invalid(location, format!("unable to use the endpoint that is configured: {why}"))
    })
}

/// Requests are tried again in one place, and that is not here.
pub(in crate::storage) fn no_retries() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}
