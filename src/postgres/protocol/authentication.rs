//! Opens a session: startup packet, authentication, and the server's parameters.

use std::collections::BTreeMap;

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::{
    authentication::{
        md5_hash,
        sasl::{ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256},
    },
    message::{
        backend::{AuthenticationSaslBody, Message},
        frontend,
    },
};

use super::{Received, wire::Wire};
use crate::postgres::{
    ChannelBindingMode, ConnectOptions, Error, Password, Result, ServerError,
    refusal::{self, Session},
};

const DOING: &str = "opening a session";

/// Messages from the server before its first ReadyForQuery.
#[derive(Default)]
pub(super) struct SessionStart {
    pub(super) process_id: i32,
    pub(super) secret_key: i32,
    pub(super) parameters: BTreeMap<String, String>,
}

/// Opens a replication session on a new connection.
pub(super) async fn start_session(
    wire: &mut Wire,
    options: &ConnectOptions,
    settings: &[(&'static str, &'static str)],
) -> Result<SessionStart> {
    // `default_transaction_read_only` on a primary would look like a standby (see `ReplicationClient::in_recovery`).
    let parameters = [
        ("user", options.user.as_str()),
        ("replication", "true"),
        ("application_name", options.application_name.as_str()),
        ("client_encoding", "UTF8"),
        ("default_transaction_read_only", "off"),
        // Set at startup, because a walsender executes no SQL that could change them later.
        ("statement_timeout", "0"),
        ("lock_timeout", "0"),
        ("idle_in_transaction_session_timeout", "0"),
        ("tcp_user_timeout", "0"),
    ];
    let words = options.server_options.as_deref().map(|words| ("options", words));
    let parameters = parameters.into_iter().chain(settings.iter().copied()).chain(words);
    let mut packet = BytesMut::new();
    frontend::startup_message(parameters, &mut packet).map_err(encode)?;
    wire.send(&packet, DOING).await?;
    Exchange { wire, options }.authenticate().await?;
    read_session_start(wire, options).await
}

fn encode(error: std::io::Error) -> Error {
    Error::Options(format!("a value cannot be sent to the server: {error}"))
}

/// Receives a message. An ErrorResponse becomes [`Error::Refused`].
async fn receive(wire: &mut Wire, options: &ConnectOptions) -> Result<Message> {
    match wire.receive(DOING).await? {
        Received::Message(Message::ErrorResponse(body)) => {
            let mut said = ServerError::read(&mut body.fields())?;
            refusal::explain(&mut said, &options.user, &Session::Replication);
            let endpoint = options.endpoint.to_string();
            Err(Error::Refused { endpoint, source: Box::new(said) })
        }
        Received::Message(message) => Ok(message),
        Received::CopyBoth => Err(unexpected()),
    }
}

fn unexpected() -> Error {
    Error::protocol("an unexpected message came while a session was opened")
}

async fn read_session_start(wire: &mut Wire, options: &ConnectOptions) -> Result<SessionStart> {
    let mut start = SessionStart::default();
    loop {
        match receive(wire, options).await? {
            Message::BackendKeyData(body) => {
                start.process_id = body.process_id();
                start.secret_key = body.secret_key();
            }
            Message::ParameterStatus(body) => {
                if let (Ok(name), Ok(value)) = (body.name(), body.value()) {
                    start.parameters.insert(name.to_owned(), value.to_owned());
                }
            }
            Message::NoticeResponse(_) => {}
            Message::ReadyForQuery(_) => return Ok(start),
            _ => return Err(unexpected()),
        }
    }
}

struct Exchange<'a> {
    wire: &'a mut Wire,
    options: &'a ConnectOptions,
}

impl Exchange<'_> {
    async fn authenticate(mut self) -> Result<()> {
        let request = receive(self.wire, self.options).await?;
        let binding_required = self.options.channel_binding == ChannelBindingMode::Require;
        if binding_required && !matches!(request, Message::AuthenticationSasl(_)) {
            return Err(self.failure("the server does not do channel binding, which is required"));
        }
        match request {
            Message::AuthenticationOk => return Ok(()),
            Message::AuthenticationCleartextPassword => {
                let password = self.password()?;
                self.send_password(password.reveal()).await?;
            }
            Message::AuthenticationMd5Password(body) => {
                let password = self.password()?;
                let user = self.options.user.as_bytes();
                let hash = md5_hash(user, password.reveal(), body.salt());
                self.send_password(hash.as_bytes()).await?;
            }
            Message::AuthenticationSasl(body) => self.sasl(&body).await?,
            _ => {
                return Err(self.failure(
                    "the server asks for a method other than a password or a certificate",
                ));
            }
        }
        match receive(self.wire, self.options).await? {
            Message::AuthenticationOk => Ok(()),
            _ => Err(unexpected()),
        }
    }

    fn failure(&self, reason: impl Into<String>) -> Error {
        Error::Authentication {
            endpoint: self.options.endpoint.to_string(),
            user: self.options.user.clone(),
            reason: reason.into(),
        }
    }

    fn password(&self) -> Result<Password> {
        self.options
            .replication_password
            .clone()
            .ok_or_else(|| self.failure("the server requires a password, but none was given"))
    }

    async fn send_password(&mut self, password: &[u8]) -> Result<()> {
        let mut packet = BytesMut::new();
        frontend::password_message(password, &mut packet).map_err(encode)?;
        self.wire.send(&packet, DOING).await
    }

    /// Chooses mechanism and channel binding as libpq does: SCRAM-SHA-256-PLUS over TLS if offered. Over TLS without
    /// the offer, the flag `y` lets the server detect that an attacker removed the offer.
    fn choose(&self, body: &AuthenticationSaslBody) -> Result<(&'static str, ChannelBinding)> {
        let mut plain = false;
        let mut plus = false;
        let mut mechanisms = body.mechanisms();
        while let Some(mechanism) = mechanisms.next().map_err(|_| unexpected())? {
            plain |= mechanism == SCRAM_SHA_256;
            plus |= mechanism == SCRAM_SHA_256_PLUS;
        }
        let mode = self.options.channel_binding;
        let wanted = mode != ChannelBindingMode::Disable;
        match self.wire.transport().channel_binding().filter(|_| wanted) {
            Some(data) if plus => {
                Ok((SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(data)))
            }
            _ if mode == ChannelBindingMode::Require => {
                Err(self.failure("channel binding is required and not possible here"))
            }
            _ if !plain => Err(self.failure("the server offers no SASL method known here")),
            Some(_) => Ok((SCRAM_SHA_256, ChannelBinding::unrequested())),
            None => Ok((SCRAM_SHA_256, ChannelBinding::unsupported())),
        }
    }

    async fn sasl(&mut self, body: &AuthenticationSaslBody) -> Result<()> {
        let password = self.password()?;
        let (mechanism, binding) = self.choose(body)?;
        let mut scram = ScramSha256::new(password.reveal(), binding);
        let mut packet = BytesMut::new();
        frontend::sasl_initial_response(mechanism, scram.message(), &mut packet).map_err(encode)?;
        self.wire.send(&packet, DOING).await?;

        let Message::AuthenticationSaslContinue(body) = receive(self.wire, self.options).await?
        else {
            return Err(unexpected());
        };
        scram.update(body.data()).map_err(|e| self.failure(e.to_string()))?;
        packet.clear();
        frontend::sasl_response(scram.message(), &mut packet).map_err(encode)?;
        self.wire.send(&packet, DOING).await?;

        let Message::AuthenticationSaslFinal(body) = receive(self.wire, self.options).await? else {
            return Err(unexpected());
        };
        scram
            .finish(body.data())
            .map_err(|e| self.failure(format!("the server does not know the password: {e}")))
    }
}
