//! From the options to a session: connect, check the host's key, log in, start SFTP.

use std::{borrow::Cow, future::Future, sync::Arc, time::Duration};

use russh::{
    ChannelMsg, Preferred, cipher,
    client::{self, Handle},
    compression,
    keys::Algorithm,
};
use russh_sftp::client::{Config as SftpConfig, RawSftpSession};
use tokio::net::TcpStream;

use super::{
    SftpOptions,
    connect_failure::{failed, permanent, transient},
    failure::Refusal,
    host_key::{HandshakeError, HostKeyVerifier, Rejection},
    known_hosts, login,
    session::{Offers, Session},
};
use crate::storage::{Error, ErrorKind, Result};

/// How often an idle connection is asked whether it lives; after three questions without answer it does not.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Bytes that the server may send ahead of what was taken.
const RECEIVE_WINDOW: u32 = 4 << 20;
/// The largest SFTP packet that is taken; OpenSSH's server sends no larger ones.
const PACKET_MAX: u32 = 256 << 10;

/// Makes a session, within the time limit.
pub(super) async fn connect(options: &SftpOptions) -> Result<Session> {
    within(options, "connect", open(options)).await
}

async fn within<T>(
    options: &SftpOptions,
    what: &str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    match tokio::time::timeout(options.timeout, work).await {
        Ok(done) => done,
        Err(_) => Err(transient(options)
            .caused_by(format!("unable to {what} within {} s", options.timeout.as_secs_f32()))),
    }
}

async fn open(options: &SftpOptions) -> Result<Session> {
    let mut connection = shake_hands(options).await?;
    login::log_in(&mut connection, options).await?;
    start(connection, options).await
}

/// Connects and checks the host's key, with as many handshakes as there are kinds of key to ask for.
async fn shake_hands(options: &SftpOptions) -> Result<Handle<HostKeyVerifier>> {
    let (check, mut rejected) = (prepare(options).await?, None);
    for algorithms in check.algorithms() {
        match shake_hand(options, check.clone(), algorithms).await {
            Ok(connection) => return Ok(connection),
            Err(HandshakeError::HostKey(rejection @ Rejection::Fingerprint { .. })) => {
                rejected = Some(rejection);
            }
            Err(HandshakeError::HostKey(rejection)) => return Err(refused(options, rejection)),
            Err(HandshakeError::Ssh(russh::Error::NoCommonAlgo { .. })) if rejected.is_some() => {}
            Err(HandshakeError::Ssh(error)) => return Err(failed(options, error)),
        }
    }
    Err(rejected.map_or_else(|| permanent(options), |rejection| refused(options, rejection)))
}

async fn prepare(options: &SftpOptions) -> Result<HostKeyVerifier> {
    let owned = options.clone();
    match tokio::task::spawn_blocking(move || HostKeyVerifier::prepare(&owned)).await {
        Ok(Ok(check)) => Ok(check),
        Ok(Err((file, error))) => {
            let cause =
                format!("the known-hosts file '{}' cannot be read: {error}", file.display());
            Err(Error::new(ErrorKind::Denied, "connect to", options.server_name())
                .caused_by(cause)
                .with_hint("make it readable, or set other files in repo-sftp-known-host"))
        }
        Err(stopped) => Err(permanent(options).caused_by(stopped)),
    }
}

async fn shake_hand(
    options: &SftpOptions,
    check: HostKeyVerifier,
    algorithms: Vec<Algorithm>,
) -> std::result::Result<Handle<HostKeyVerifier>, HandshakeError> {
    let socket = TcpStream::connect((options.host.as_str(), options.port));
    let socket = socket.await.map_err(russh::Error::from)?;
    socket.set_nodelay(true).map_err(russh::Error::from)?;
    client::connect_stream(Arc::new(ssh_config(algorithms)), socket, check).await
}

fn refused(options: &SftpOptions, rejection: Rejection) -> Error {
    rejection.error(&options.server_name(), &known_hosts::name_of(&options.host, options.port))
}

fn ssh_config(algorithms: Vec<Algorithm>) -> client::Config {
    client::Config {
        window_size: RECEIVE_WINDOW,
        maximum_packet_size: 32 << 10,
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: 3,
        nodelay: true,
        preferred: Preferred {
            key: Cow::Owned(algorithms),
            // The fastest with the instructions of today's processors first.
            cipher: Cow::Borrowed(&[
                cipher::AES_256_GCM,
                cipher::AES_128_GCM,
                cipher::CHACHA20_POLY1305,
                cipher::AES_256_CTR,
                cipher::AES_192_CTR,
                cipher::AES_128_CTR,
            ]),
            // What is stored is compressed already.
            compression: Cow::Borrowed(&[compression::NONE]),
            ..Preferred::default()
        },
        ..client::Config::default()
    }
}

/// Starts SFTP on a connection and asks what the server offers.
async fn start(connection: Handle<HostKeyVerifier>, options: &SftpOptions) -> Result<Session> {
    let channel = connection.channel_open_session().await;
    let mut channel = channel.map_err(|error| failed(options, error))?;
    let asked = channel.request_subsystem(true, "sftp").await;
    asked.map_err(|error| failed(options, error))?;
    loop {
        match channel.wait().await {
            Some(ChannelMsg::Success) => break,
            Some(ChannelMsg::Failure) => {
                return Err(permanent(options).caused_by("the server does not offer SFTP"));
            }
            Some(ChannelMsg::Eof | ChannelMsg::Close) | None => {
                return Err(transient(options).caused_by("the server closed the channel"));
            }
            Some(_) => {}
        }
    }
    let sftp = RawSftpSession::new_with_config(channel.into_stream(), sftp_config(options));
    let broke = |error| Refusal::from(error).error("connect to", &options.server_name());
    let version = sftp.init().await.map_err(broke)?;
    let mut offers = Offers::of(&version.extensions);
    if version.extensions.contains_key(russh_sftp::extensions::LIMITS) {
        offers.limit(&sftp.limits().await.map_err(broke)?);
    }
    Ok(Session::new(sftp, connection, offers))
}

/// An answer that is late ends the connection before the operation's own time limit does, so that the next attempt
/// gets another one.
fn sftp_config(options: &SftpOptions) -> SftpConfig {
    SftpConfig {
        max_packet_len: PACKET_MAX,
        request_timeout_secs: (options.timeout.as_secs() * 3 / 4).max(1),
        ..SftpConfig::default()
    }
}
