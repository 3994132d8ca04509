//! The HTTP client of the stores that are reached over HTTP: one configuration of TLS for all of them.

mod handshake;
mod place;
mod reached;

use std::{
    fs,
    io::ErrorKind::NotFound,
    path::{Path, PathBuf},
    time::Duration,
};

use openssl::x509::X509;
use reqwest::{Certificate, Client, ClientBuilder, redirect};

pub(in crate::storage) use handshake::{HandshakeFault, handshake_fault};
pub(in crate::storage) use place::{Place, unusable};
pub(in crate::storage) use reached::Reached;

use super::{Error, ErrorKind, Result};
use crate::{host::read_small_file, types::ErrorCode};

/// No connection takes longer to make; the time limit of the request holds besides.
const CONNECT_MAX: Duration = Duration::from_secs(20);
/// Stores close a connection that stands idle for longer.
const IDLE_MAX: Duration = Duration::from_secs(15);
/// The largest file of CA certificates that is read, in bytes.
const CA_FILE_MAX: u64 = 16 << 20;

/// How a client connects, and what it trusts.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Trust the CA certificates of this file instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Trust the CA certificates of the files in this directory instead of the system's.
    pub ca_path: Option<PathBuf>,
    /// Whether certificates are verified.
    pub verify_tls: bool,
    /// Nothing but `http://` is asked, so no authority has to be read.
    pub plain: bool,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self { ca_file: None, ca_path: None, verify_tls: true, plain: false }
    }
}

impl HttpOptions {
    /// A client with a pool of connections of its own. It follows no redirects, decompresses nothing, repeats
    /// nothing, and takes no proxy from the environment.
    pub fn client(&self) -> Result<Client> {
        let builder = Client::builder()
            .http1_only()
            .no_proxy()
            .user_agent(concat!("pgstrata/", env!("CARGO_PKG_VERSION")))
            .referer(false)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_MAX)
            .pool_idle_timeout(IDLE_MAX);
        self.trust(builder)?
            .build()
            .map_err(|error| Error::new(ErrorKind::Other, "use", "TLS").caused_by(error))
    }

    fn trust(&self, builder: ClientBuilder) -> Result<ClientBuilder> {
        if self.plain {
            return Ok(builder.tls_certs_only([]));
        }
        if !self.verify_tls {
            return Ok(builder.tls_certs_only([]).tls_danger_accept_invalid_certs(true));
        }
        if self.ca_file.is_none() && self.ca_path.is_none() {
            return Ok(builder);
        }
        let mut trusted = Vec::new();
        if let Some(file) = &self.ca_file {
            trusted.extend(authorities_of(file)?);
        }
        if let Some(directory) = &self.ca_path {
            trusted.extend(authorities_below(directory)?);
        }
        Ok(builder.tls_certs_only(trusted))
    }
}

fn authorities_of(file: &Path) -> Result<Vec<Certificate>> {
    let unreadable = |error: std::io::Error| {
        let code =
            if error.kind() == NotFound { ErrorCode::FileMissing } else { ErrorCode::FileOpen };
        failure(file).caused_by(error).with_code(code)
    };
    let text = read_small_file(file, CA_FILE_MAX).map_err(unreadable)?;
    // The client would refuse all of them because of one, and not say whose it is.
    if X509::stack_from_pem(&text).is_err() {
        return Err(failure(file).caused_by("a certificate in it is broken"));
    }
    match Certificate::from_pem_bundle(&text) {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(failure(file).caused_by("it contains no certificate (PEM is expected)")),
        Err(error) => Err(failure(file).caused_by(error)),
    }
}

/// Files that hold no certificate are passed over, as OpenSSL does; a directory without any is an error.
fn authorities_below(directory: &Path) -> Result<Vec<Certificate>> {
    let unreadable = |error| failure(directory).caused_by(error).with_code(ErrorCode::PathOpen);
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_file() {
            found.extend(authorities_of(&path).unwrap_or_default());
        }
    }
    match found.is_empty() {
        true => Err(failure(directory).caused_by("no file in it contains a certificate")),
        false => Ok(found),
    }
}

fn failure(path: &Path) -> Error {
    let name = path.display().to_string();
    Error::new(ErrorKind::Other, "read CA certificates of", name)
}

/// What went wrong with a connection, from the outermost cause to the innermost, each thing said once and no address
/// in it.
pub fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        let text = cause.to_string();
        if !said.iter().any(|before| before.contains(&text)) {
            said.push(text);
        }
        next = cause.source();
    }
    said.join(": ")
}

/// What to do where the server of an `https://` endpoint speaks no TLS.
pub const NO_TLS_HINT: &str = "the server does not speak TLS on this port: write http:// before the \
     endpoint if that is meant, or correct its port.";
/// What to do where the server of an `http://` endpoint speaks TLS.
pub const TLS_EXPECTED_HINT: &str = "the server speaks TLS on this port: write https:// before the \
     endpoint, or correct its port.";
/// What to do about a request that is larger than the store, or a proxy before it, takes.
pub const TOO_LARGE_HINT: &str = "the store, or a proxy before it, limits the size of a request: raise \
     its limit, or set repoN-storage-upload-chunk-size below it.";

/// Whether a refusal with status 400 says that TLS was expected, for the hint: it fails either way. There is nothing but
/// the text, which is that of Go's servers, nginx and Apache.
pub fn says_tls_expected(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    [
        "http request to an https server",
        "plain http request was sent to https port",
        "speaking plain http",
    ]
    .iter()
    .any(|text| message.contains(text))
}

#[cfg(test)]
mod tests;
