//! Opens a SQL session with tokio-postgres over the transport of [`crate::postgres::connect`].

use std::{
    future::{Ready, ready},
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::JoinHandle,
    time::timeout,
};
use tokio_postgres::{
    CancelToken, Client, Config,
    config::{ChannelBinding as BindingMode, SslMode, SslNegotiation},
    tls::{ChannelBinding, TlsConnect, TlsStream},
};
use tracing::debug;

use super::{
    backend_key::{Announced, BackendKeyReader},
    chain, server_error,
};
use crate::postgres::{
    ChannelBindingMode, ConnectOptions, Error, Result,
    connect::{Encryption, Transport, open},
    refusal::{self, Session},
};

/// Connects and authenticates; the task drives the connection until the client is dropped.
pub(super) async fn open_session(
    options: &ConnectOptions,
    encryption: Encryption,
) -> Result<(Client, JoinHandle<()>, Announced)> {
    let stream = Encrypted::new(open(options, encryption).await?);
    let announced = stream.key.announced();
    let limit = options.connect_timeout;
    let config = config(options);
    let connected = timeout(limit, config.connect_raw(stream, Passed)).await;
    let too_late = || Error::Timeout { doing: "opening a SQL session", seconds: limit.as_secs() };
    let (client, connection) =
        connected.map_err(|_| too_late())?.map_err(|error| session_error(options, &error))?;
    let driver = tokio::spawn(async move {
        if let Err(error) = connection.await {
            debug!("the SQL connection ended: {error}");
        }
    });
    Ok((client, driver, announced))
}

/// Sends a cancel request for the session of `token` over a new connection.
pub(super) async fn cancel(
    options: &ConnectOptions,
    encryption: Encryption,
    token: &CancelToken,
) -> Result<()> {
    let stream = Encrypted::new(open(options, encryption).await?);
    token.cancel_query_raw(stream, Passed).await.map_err(|error| Error::Broken {
        doing: "cancelling",
        source: io::Error::other(chain(&error)),
    })
}

fn session_error(options: &ConnectOptions, error: &tokio_postgres::Error) -> Error {
    let endpoint = options.endpoint.to_string();
    match server_error(error) {
        Some(mut source) => {
            let session = Session::Sql { database: &options.database };
            refusal::explain(&mut source, &options.user, &session);
            Error::Refused { endpoint, source }
        }
        None => {
            Error::Authentication { endpoint, user: options.user.clone(), reason: chain(error) }
        }
    }
}

/// The options for tokio-postgres. Its stream is already encrypted if required, so it gets "direct" TLS with a
/// connector that returns the stream unchanged.
fn config(options: &ConnectOptions) -> Config {
    let mut config = Config::new();
    config
        .user(&options.user)
        .dbname(&options.database)
        .application_name(&options.application_name)
        .ssl_mode(SslMode::Require)
        .ssl_negotiation(SslNegotiation::Direct)
        .channel_binding(match options.channel_binding {
            ChannelBindingMode::Disable => BindingMode::Disable,
            ChannelBindingMode::Prefer => BindingMode::Prefer,
            ChannelBindingMode::Require => BindingMode::Require,
        });
    if let Some(words) = &options.server_options {
        config.options(words);
    }
    if let Some(password) = &options.password {
        config.password(password.reveal());
    }
    config
}

/// A TLS connector for streams whose handshake is done.
struct Passed;

impl TlsConnect<Encrypted> for Passed {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = Ready<io::Result<Encrypted>>;

    fn connect(self, stream: Encrypted) -> Self::Future {
        ready(Ok(stream))
    }
}

/// Implements the stream trait of tokio-postgres for a transport.
struct Encrypted {
    transport: Transport,
    key: BackendKeyReader,
}

impl Encrypted {
    fn new(transport: Transport) -> Self {
        Self { transport, key: BackendKeyReader::default() }
    }
}

impl TlsStream for Encrypted {
    fn channel_binding(&self) -> ChannelBinding {
        match self.transport.channel_binding() {
            Some(data) => ChannelBinding::tls_server_end_point(data),
            None => ChannelBinding::none(),
        }
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.transport).poll_read(cx, buf);
        self.key.read(&buf.filled()[before..]);
        polled
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}
