//! Where a store is, as the configuration says it: an endpoint, perhaps a host to reach it at, perhaps a port. All
//! stores read these with the meaning that pgBackRest gives them.

use std::net::Ipv6Addr;

use super::super::{Error, ErrorKind, Result};
use crate::types::ErrorCode;

/// A host, its scheme and its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::storage) struct Place {
    /// Whether connections are without TLS.
    pub(in crate::storage) plain: bool,
    /// A name in lower case, or an address; one of IPv6 stands in brackets.
    pub(in crate::storage) host: String,
    /// The port, where one is named.
    pub(in crate::storage) port: Option<u16>,
}

impl Place {
    /// Reads `[https://|http://]host[:port][/]`. Without a scheme it is TLS.
    pub(in crate::storage) fn parse(text: &str) -> Result<Self> {
        let (plain, rest) = match text.split_once("://") {
            Some(("https", rest)) => (false, rest),
            Some(("http", rest)) => (true, rest),
            Some(_) => return Err(unusable(text, "only https:// and http:// are supported")),
            None => (false, text),
        };
        let rest = rest.trim_end_matches('/');
        let (host, port) = match rest.rsplit_once(':') {
            // A bare IPv6 address has colons of its own.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, Some(number(port).ok_or_else(|| unusable(text, "the port is not valid"))?))
            }
            _ => (rest, None),
        };
        let host = named(host).ok_or_else(|| unusable(text, "it is not a host name"))?;
        Ok(Self { plain, host, port })
    }

    /// Where a store is reached: at `host` (`repoN-storage-host`) in place of its endpoint, with the scheme and the port
    /// of `host` or the usual ones; `port` (`repoN-storage-port`) goes before any other.
    pub(in crate::storage) fn reached(
        endpoint: &Self,
        host: Option<&str>,
        port: Option<u16>,
    ) -> Result<Self> {
        let place = match host {
            Some(host) => Self::parse(host)?,
            None => endpoint.clone(),
        };
        Ok(Self { port: port.or(place.port), ..place })
    }

    /// What requests name, and what is connected to where that is another place (`repoN-storage-host`). Without one, the
    /// endpoint is both.
    #[cfg(any(feature = "gcs", feature = "s3", test))]
    pub(in crate::storage) fn named_and_reached(
        endpoint: Self,
        host: Option<&str>,
        port: Option<u16>,
    ) -> Result<(Self, Option<Self>)> {
        let reached = Self::reached(&endpoint, host, port)?;
        Ok(match host {
            None => (reached, None),
            // The scheme is that of the connection: by it a port is left out of the name and of what is signed.
            Some(_) => (Self { plain: reached.plain, ..endpoint }, Some(reached)),
        })
    }

    /// Whether the host is an address, before which no name can stand.
    #[cfg(any(feature = "azure", feature = "s3"))]
    pub(in crate::storage) fn is_address(&self) -> bool {
        self.host.starts_with('[') || self.host.parse::<std::net::Ipv4Addr>().is_ok()
    }

    /// `https` or `http`.
    pub(in crate::storage) fn scheme(&self) -> &'static str {
        if self.plain { "http" } else { "https" }
    }

    /// The host, with the port where that is not the usual one.
    pub(in crate::storage) fn authority(&self) -> String {
        let usual = if self.plain { 80 } else { 443 };
        match self.port.filter(|port| *port != usual) {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }
}

/// The root of all addresses at this place, without a slash.
impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.scheme(), self.authority())
    }
}

/// A port in digits; Rust's own reader takes a sign, too.
fn number(text: &str) -> Option<u16> {
    let digits = text.chars().all(|c| c.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0)
}

fn named(host: &str) -> Option<String> {
    if host.contains([':', '[', ']']) {
        let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let address: Ipv6Addr = inner.unwrap_or(host).parse().ok()?;
        return Some(format!("[{address}]"));
    }
    let known = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    (!host.is_empty() && host.chars().all(known)).then(|| host.to_ascii_lowercase())
}

/// A place, or the name of what is there, that makes no sense.
pub(in crate::storage) fn unusable(what: &str, why: &'static str) -> Error {
    // Before an @ stand a user and a password.
    let shown = what.rsplit_once('@').map_or(what.to_owned(), |(_, host)| format!("***@{host}"));
    Error::new(ErrorKind::Other, "use", shown)
        .caused_by(why)
        .with_code(ErrorCode::OptionInvalidValue)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        Place::parse(text).unwrap().to_string()
    }

    #[test]
    fn places_are_written_in_several_ways() {
        for (text, expected) in [
            ("minio", "https://minio"),
            ("MinIO.example:9000", "https://minio.example:9000"),
            ("https://minio:443/", "https://minio"),
            ("http://minio:443", "http://minio:443"),
            ("http://minio:80", "http://minio"),
            ("10.0.0.1:81", "https://10.0.0.1:81"),
            ("::1", "https://[::1]"),
            ("[fd00:0::5]", "https://[fd00::5]"),
            ("http://[::1]:9000", "http://[::1]:9000"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in [
            "",
            "ftp://x",
            "a b",
            "host/path",
            "host:port",
            "host:0",
            "host:+9",
            "host:65536",
            "host:",
            "https://",
            "https://https://x",
            "u@h",
            "h?q",
            "[::1",
            "::1]",
            "[[::1]]",
            "[host]",
            "fe80::1%eth0",
        ] {
            assert!(Place::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn credentials_in_an_endpoint_are_not_shown() {
        let error = Place::parse("https://user:hunter2@minio:9000").unwrap_err().to_string();
        assert!(error.contains("'***@minio:9000'") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn another_host_brings_its_scheme_and_port_and_a_port_goes_before_all() {
        let endpoint = Place::parse("http://minio:9000").unwrap();
        let reached =
            |host, port| Place::reached(&endpoint, host, port).map(|place| place.to_string());
        assert_eq!(reached(None, None).unwrap(), "http://minio:9000");
        assert_eq!(reached(None, Some(1)).unwrap(), "http://minio:1");
        assert_eq!(reached(None, Some(80)).unwrap(), "http://minio");
        assert_eq!(reached(Some("proxy"), None).unwrap(), "https://proxy");
        assert_eq!(reached(Some("http://proxy:7"), None).unwrap(), "http://proxy:7");
        assert_eq!(reached(Some("http://proxy:7"), Some(8)).unwrap(), "http://proxy:8");
        assert_eq!(reached(Some("fd00::5"), Some(8)).unwrap(), "https://[fd00::5]:8");
        assert!(reached(Some("a b"), None).is_err());
    }
}
