//! Why a TLS handshake failed, by the error of rustls that stands in the chain of causes. No further attempt changes
//! either of these.

use std::{error::Error, io};

/// What no further attempt changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) enum HandshakeFault {
    /// The certificate of the server is not accepted.
    Distrusted,
    /// What the server sent is no TLS.
    NoTls,
}

/// Looks for the fault among the causes of an error.
pub(in crate::storage) fn handshake_fault(error: &(dyn Error + 'static)) -> Option<HandshakeFault> {
    let mut next = Some(error);
    while let Some(cause) = next {
        match cause.downcast_ref() {
            Some(rustls::Error::InvalidCertificate(_)) => return Some(HandshakeFault::Distrusted),
            Some(rustls::Error::InvalidMessage(_)) => return Some(HandshakeFault::NoTls),
            Some(_) => return None,
            None => next = behind(cause),
        }
    }
    None
}

/// The next cause. An `io::Error` gives as its source that of the error within it, and not that error.
fn behind<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{SocketAddr, TcpListener, TcpStream},
        thread,
    };

    use openssl::{
        asn1::Asn1Time,
        hash::MessageDigest,
        pkey::PKey,
        rsa::Rsa,
        ssl::{SslAcceptor, SslMethod},
        x509::{X509, X509NameBuilder},
    };

    use super::*;
    use crate::storage::http::HttpOptions;

    /// Answers one connection.
    fn serve(answer: impl FnOnce(TcpStream) + Send + 'static) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || answer(listener.accept().unwrap().0));
        address
    }

    async fn fault(address: SocketAddr) -> Option<HandshakeFault> {
        let client = HttpOptions::default().client().unwrap();
        let error = client.get(format!("https://{address}/")).send().await.unwrap_err();
        handshake_fault(&error)
    }

    /// With a self-signed certificate.
    fn acceptor() -> SslAcceptor {
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("CN", "127.0.0.1").unwrap();
        let name = name.build();
        let mut certificate = X509::builder().unwrap();
        certificate.set_version(2).unwrap();
        certificate.set_subject_name(&name).unwrap();
        certificate.set_issuer_name(&name).unwrap();
        certificate.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        certificate.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
        certificate.set_pubkey(&key).unwrap();
        certificate.sign(&key, MessageDigest::sha256()).unwrap();
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
        acceptor.set_private_key(&key).unwrap();
        acceptor.set_certificate(&certificate.build()).unwrap();
        acceptor.build()
    }

    #[tokio::test]
    async fn a_self_signed_certificate_is_distrusted() {
        let address = serve(|stream| drop(acceptor().accept(stream)));
        assert_eq!(fault(address).await, Some(HandshakeFault::Distrusted));
    }

    #[tokio::test]
    async fn a_server_without_tls_is_told_apart_from_one_that_disconnects() {
        let address = serve(|mut stream| {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        });
        assert_eq!(fault(address).await, Some(HandshakeFault::NoTls));
        assert_eq!(fault(serve(drop)).await, None);
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(fault(closed).await, None);
    }
}
