//! The byte stream to a server: unix socket, TCP, or TLS over TCP.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustix::net::sockopt;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use super::{
    ConnectOptions, Endpoint, SslMode,
    tls::{self, TlsStream},
};
use crate::postgres::{Error, Result};

/// Idle time before TCP keepalive probes. A lost peer is detected after three probes.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;

/// Encryption of one connection attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encryption {
    Plain,
    /// TLS, or a plain connection if the server does not support TLS.
    Offered,
    /// TLS only.
    Required,
}

/// The attempts for an sslmode, in order. Unix sockets are never encrypted.
pub(crate) fn plan(options: &ConnectOptions) -> &'static [Encryption] {
    if matches!(options.endpoint, Endpoint::Socket { .. }) {
        return &[Encryption::Plain];
    }
    match options.ssl.mode {
        SslMode::Disable => &[Encryption::Plain],
        SslMode::Allow => &[Encryption::Plain, Encryption::Required],
        SslMode::Prefer => &[Encryption::Offered, Encryption::Plain],
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[Encryption::Required],
    }
}

#[derive(Debug)]
pub(crate) enum Transport {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<TlsStream>),
}

impl Transport {
    pub(crate) fn is_encrypted(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Channel binding data, if the stream is encrypted and its certificate has any.
    pub(crate) fn channel_binding(&self) -> Option<Vec<u8>> {
        match self {
            Self::Tls(stream) => tls::channel_binding(stream),
            Self::Unix(_) | Self::Tcp(_) => None,
        }
    }
}

/// Connects, and encrypts if requested. Each step has the connect timeout.
pub(crate) async fn open(options: &ConnectOptions, encryption: Encryption) -> Result<Transport> {
    let (host, port) = match &options.endpoint {
        Endpoint::Tcp { host, port } => (host, *port),
        Endpoint::Socket { .. } => return open_socket(options).await,
    };
    let socket = open_tcp(options, host, port).await?;
    if encryption == Encryption::Plain {
        return Ok(Transport::Tcp(socket));
    }
    let limit = options.connect_timeout;
    timeout(limit, encrypt(options, encryption, socket, host))
        .await
        .unwrap_or_else(|_| Err(Error::Timeout { doing: "starting TLS", seconds: limit.as_secs() }))
}

async fn encrypt(
    options: &ConnectOptions,
    encryption: Encryption,
    socket: TcpStream,
    host: &str,
) -> Result<Transport> {
    let (socket, offered) = ask_for_tls(socket).await.map_err(|e| connect_error(options, e))?;
    if !offered && encryption == Encryption::Required {
        return Err(tls_error(options, "the server does not offer it".to_owned()));
    }
    if !offered {
        return Ok(Transport::Tcp(socket));
    }
    let stream = tls::handshake(socket, host, &options.ssl).await;
    stream.map(|s| Transport::Tls(Box::new(s))).map_err(|e| tls_error(options, e))
}

fn connect_error(options: &ConnectOptions, source: io::Error) -> Error {
    Error::Connect { endpoint: options.endpoint.to_string(), source }
}

fn tls_error(options: &ConnectOptions, reason: String) -> Error {
    Error::Tls { endpoint: options.endpoint.to_string(), reason }
}

async fn open_socket(options: &ConnectOptions) -> Result<Transport> {
    let path = options.endpoint.socket_path().unwrap_or_default();
    let connected = timeout(options.connect_timeout, UnixStream::connect(path)).await;
    let result = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    result.map(Transport::Unix).map_err(|e| connect_error(options, e))
}

/// Tries every address of the host in order; returns the last error.
async fn open_tcp(options: &ConnectOptions, host: &str, port: u16) -> Result<TcpStream> {
    let limit = options.connect_timeout;
    let lookup = timeout(limit, tokio::net::lookup_host((host, port))).await;
    let addresses = lookup
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|e| connect_error(options, e))?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    for address in addresses {
        match timeout(limit, connect_address(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(connect_error(options, last))
}

async fn connect_address(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(&stream, true)?;
    sockopt::set_tcp_keepidle(&stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(&stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(&stream, KEEPALIVE_PROBES)?;
    Ok(stream)
}

/// Sends SSLRequest. Reads exactly one byte: further bytes could be injected by a man in the middle (CVE-2021-23222).
async fn ask_for_tls(mut socket: TcpStream) -> io::Result<(TcpStream, bool)> {
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    socket.write_all(&request).await?;
    match socket.read_u8().await? {
        b'S' => Ok((socket, true)),
        b'N' => Ok((socket, false)),
        other => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the answer to a request for TLS is 0x{other:02x}: is this PostgreSQL?"),
        )),
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::ConnectSettings;

    #[test]
    fn every_sslmode_has_its_attempts() {
        let attempts = |host: &str, mode: &str| {
            let settings = ConnectSettings {
                host: Some(host.to_owned()),
                user: Some("me".to_owned()),
                ssl_mode: Some(mode.to_owned()),
                ..Default::default()
            };
            plan(&ConnectOptions::resolve(&settings, &|_| None).unwrap())
        };
        use Encryption::{Offered, Plain, Required};
        assert_eq!(attempts("db", "disable"), [Plain]);
        assert_eq!(attempts("db", "allow"), [Plain, Required]);
        assert_eq!(attempts("db", "prefer"), [Offered, Plain]);
        assert_eq!(attempts("db", "require"), [Required]);
        assert_eq!(attempts("db", "verify-full"), [Required]);
        assert_eq!(attempts("/tmp", "verify-full"), [Plain]);
    }
}
