//! TLS with libpq's meaning of every sslmode (`fe-secure-openssl.c`), on OpenSSL: the certificate is verified whenever
//! a root certificate file exists, and the host name only with `verify-full`.

use std::{
    fs,
    net::IpAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    pin::Pin,
};

use openssl::{
    error::ErrorStack,
    hash::MessageDigest,
    nid::Nid,
    pkey::PKey,
    ssl::{
        Ssl, SslContext, SslContextBuilder, SslFiletype, SslMethod, SslRef, SslVerifyMode,
        SslVersion,
    },
    x509::{X509VerifyResult, store::X509Lookup, verify::X509VerifyFlags},
};
use tokio::{io::BufReader, net::TcpStream};
use tokio_openssl::SslStream;

use super::{SslMode, SslOptions, host_name};
use crate::host::read_small_file;

/// Read buffer. A TLS record has at most 16 KiB; reading several at once saves system calls.
const READ_AHEAD_BYTES: usize = 256 * 1024;
/// The largest private key file that is read, in bytes.
const KEY_FILE_BYTES_MAX: u64 = 1 << 20;

pub(super) type TlsStream = SslStream<BufReader<TcpStream>>;

/// Performs the handshake after the server accepted SSLRequest. Errors are texts, because only the caller knows the
/// endpoint.
pub(super) async fn handshake(
    socket: TcpStream,
    host: &str,
    options: &SslOptions,
) -> Result<TlsStream, String> {
    let context = context(options)?;
    let mut ssl = Ssl::new(&context).map_err(text)?;
    if host.parse::<IpAddr>().is_err() {
        ssl.set_hostname(host).map_err(text)?;
    }
    let socket = BufReader::with_capacity(READ_AHEAD_BYTES, socket);
    let mut stream = SslStream::new(ssl, socket).map_err(text)?;
    if let Err(error) = Pin::new(&mut stream).connect().await {
        return Err(handshake_failure(stream.ssl(), &error));
    }
    if options.mode == SslMode::VerifyFull {
        let certificate = stream.ssl().peer_certificate();
        if !certificate.is_some_and(|certificate| host_name::matches(&certificate, host)) {
            return Err(format!("the server's certificate is not for the host name '{host}'"));
        }
    }
    Ok(stream)
}

/// The `tls-server-end-point` channel binding data (RFC 5929): the digest of the certificate with the hash of its
/// signature algorithm. `None` if the algorithm has no hash, such as Ed25519.
pub(super) fn channel_binding(stream: &TlsStream) -> Option<Vec<u8>> {
    let certificate = stream.ssl().peer_certificate()?;
    let algorithm = certificate.signature_algorithm().object().nid();
    let digest = match algorithm.signature_algorithms()?.digest {
        Nid::MD5 | Nid::SHA1 => MessageDigest::sha256(),
        nid => MessageDigest::from_nid(nid)?,
    };
    certificate.digest(digest).ok().map(|digest| digest.to_vec())
}

fn text(error: ErrorStack) -> String {
    match error.errors().first() {
        Some(first) => first.reason().map_or_else(|| error.to_string(), str::to_owned),
        None => error.to_string(),
    }
}

fn handshake_failure(ssl: &SslRef, error: &openssl::ssl::Error) -> String {
    match ssl.verify_result() {
        X509VerifyResult::OK => format!("the handshake failed: {error}"),
        why => format!("the server's certificate is not trusted: {}", why.error_string()),
    }
}

fn context(options: &SslOptions) -> Result<SslContext, String> {
    let mut builder = SslContext::builder(SslMethod::tls_client()).map_err(text)?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2)).map_err(text)?;
    let verify = add_roots(&mut builder, options)?;
    builder.set_verify(if verify { SslVerifyMode::PEER } else { SslVerifyMode::NONE });
    add_client_certificate(&mut builder, options)?;
    Ok(builder.build())
}

/// Loads the trusted CA certificates. Returns `false` if the certificate is not verified.
fn add_roots(builder: &mut SslContextBuilder, options: &SslOptions) -> Result<bool, String> {
    let root = options.root_cert.as_deref();
    if root == Some(Path::new("system")) {
        builder.set_default_verify_paths().map_err(text)?;
        return Ok(true);
    }
    let Some(root) = root.filter(|root| root.exists()) else {
        return no_roots(options).map(|()| false);
    };
    builder
        .set_ca_file(root)
        .map_err(|e| format!("root certificate file {}: {}", root.display(), text(e)))?;
    if let Some(crl) = options.crl.as_deref().filter(|crl| crl.exists()) {
        add_revocations(builder, crl)
            .map_err(|e| format!("revocation list {}: {}", crl.display(), text(e)))?;
    }
    Ok(true)
}

fn no_roots(options: &SslOptions) -> Result<(), String> {
    if options.mode < SslMode::VerifyCa {
        return Ok(());
    }
    let file = options.root_cert.as_deref().map(Path::display);
    Err(match file {
        Some(file) => format!("the root certificate file {file} does not exist"),
        None => "there is no root certificate file: set sslrootcert".to_owned(),
    })
}

fn add_revocations(builder: &mut SslContextBuilder, crl: &Path) -> Result<(), ErrorStack> {
    let store = builder.cert_store_mut();
    store.set_flags(X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL)?;
    store.add_lookup(X509Lookup::file())?.load_crl_file(crl, SslFiletype::PEM)?;
    Ok(())
}

fn add_client_certificate(
    builder: &mut SslContextBuilder,
    options: &SslOptions,
) -> Result<(), String> {
    let Some(cert) = options.cert.as_deref().filter(|cert| cert.exists()) else {
        return Ok(());
    };
    let Some(key) = &options.key else {
        return Err(format!("the certificate {} has no private key file", cert.display()));
    };
    builder
        .set_certificate_chain_file(cert)
        .map_err(|e| format!("certificate file {}: {}", cert.display(), text(e)))?;
    let private_key = read_key(key)?;
    builder
        .set_private_key(&private_key)
        .and_then(|()| builder.check_private_key())
        .map_err(|e| format!("private key file {}: {}", key.display(), text(e)))
}

/// Reads a private key, which must not be readable by other users. There is no prompt for a passphrase.
fn read_key(path: &PathBuf) -> Result<PKey<openssl::pkey::Private>, String> {
    let name = path.display();
    let metadata = fs::metadata(path).map_err(|e| format!("private key file {name}: {e}"))?;
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if !metadata.is_file() || metadata.mode() & forbidden != 0 {
        return Err(format!(
            "private key file {name} has group or world access; \
             it must be u=rw (0600) or less, or u=rw,g=r (0640) if owned by root"
        ));
    }
    let pem = read_small_file(path, KEY_FILE_BYTES_MAX)
        .map_err(|e| format!("private key file {name}: {e}"))?;
    PKey::private_key_from_pem_callback(&pem, |_| Ok(0)).map_err(|e| {
        format!("private key file {name} (pass phrases are not supported): {}", text(e))
    })
}
