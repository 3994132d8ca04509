//! From what is configured to the address of a bucket.

use std::net::IpAddr;

use super::{
    super::{Error, ErrorKind, Result},
    AddressStyle, S3Options,
};
use crate::types::ErrorCode;

/// Where a bucket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// What the path of a key is appended to.
    pub(super) base: String,
    /// Whether it is spoken to without TLS.
    pub(super) plain: bool,
    /// The host to connect to, where it is not that of the address.
    pub(super) connect_to: Option<String>,
    /// Whether it is Amazon's own, which is known to keep what is there.
    pub(super) amazon: bool,
}

impl Address {
    pub(super) fn of(options: &S3Options) -> Result<Self> {
        let endpoint = Place::parse(&options.endpoint)?;
        let instead = options.host.as_deref().map(Place::parse).transpose()?;
        if !bucket_is_valid(&options.bucket) {
            return Err(unusable(&options.bucket, "it is not the name of a bucket"));
        }
        let scheme = instead.as_ref().and_then(|place| place.plain).or(endpoint.plain);
        let plain = scheme.unwrap_or(false);
        let port = instead.as_ref().and_then(|place| place.port);
        let port = port.or(endpoint.port).or(options.port);
        let port = port.filter(|port| *port != if plain { 80 } else { 443 });
        let amazon = instead.is_none() && is_amazon(&endpoint.host);
        let (host, connect_to) = match instead {
            // No name is resolved for an address of numbers, so there is none to put another in place of.
            Some(instead) if endpoint.is_numeric() => (instead.host, None),
            Some(instead) => (endpoint.host, Some(instead.host)),
            None => (endpoint.host, None),
        };
        let scheme = if plain { "http" } else { "https" };
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let bucket = &options.bucket;
        let base = match options.style {
            AddressStyle::Host => format!("{scheme}://{bucket}.{host}{port}"),
            AddressStyle::Path => format!("{scheme}://{host}{port}/{bucket}"),
        };
        Ok(Self { base, plain, connect_to, amazon })
    }
}

fn is_amazon(host: &str) -> bool {
    [".amazonaws.com", ".amazonaws.com.cn"].iter().any(|domain| host.ends_with(domain))
}

fn bucket_is_valid(bucket: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (1..=255).contains(&bucket.len()) && bucket.chars().all(known)
}

/// A host as it is written in the configuration.
#[derive(Debug)]
struct Place {
    /// What the scheme says, if there is one.
    plain: Option<bool>,
    /// A name, or an address with the brackets it may need.
    host: String,
    port: Option<u16>,
}

impl Place {
    fn parse(text: &str) -> Result<Self> {
        let (plain, rest) = match text.split_once("://") {
            Some(("https", rest)) => (Some(false), rest),
            Some(("http", rest)) => (Some(true), rest),
            Some(_) => return Err(unusable(text, "only https:// and http:// are known")),
            None => (None, text),
        };
        let rest = rest.trim_end_matches('/');
        let (host, port) = match rest.rsplit_once(':') {
            // A bare IPv6 address has colons of its own.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                let port = port.parse().map_err(|_| unusable(text, "its port is not a number"))?;
                (host, Some(port))
            }
            _ => (rest, None),
        };
        let known = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
        if host.is_empty() || !host.chars().all(known) {
            return Err(unusable(text, "it is not the name of a host"));
        }
        let host = match host.contains(':') && !host.starts_with('[') {
            true => format!("[{host}]"),
            false => host.to_ascii_lowercase(),
        };
        Ok(Self { plain, host, port })
    }

    fn is_numeric(&self) -> bool {
        self.host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
    }
}

fn unusable(what: &str, why: &'static str) -> Error {
    Error::new(ErrorKind::Other, "use", what)
        .caused_by(why)
        .with_code(ErrorCode::OptionInvalidValue)
}

#[cfg(test)]
mod tests;
