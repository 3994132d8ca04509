//! A replication session: commands with small results, and the raw messages of commands that stream.

use std::{collections::BTreeMap, sync::Arc};

use bytes::{Bytes, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::{
    backend::{DataRowBody, Message},
    frontend,
};
use tokio::time::timeout;
use tracing::debug;

use super::{Attempts, CancelToken, Received, authentication, notice, wire::Wire};
use crate::{
    postgres::{
        ConnectOptions, Error, Result, ServerError,
        connect::{Encryption, open},
    },
    types::{Lsn, PgVersion, SystemId, TimeLine, TimelineHistory},
};

/// Maximum number of rows of a result. Results have a handful of rows.
const ROWS_MAX: usize = 10_000;
/// Maximum size of a row in bytes. With [`ROWS_MAX`] it bounds the memory for a result.
const ROW_BYTES_MAX: usize = 64 << 10;

/// One row, its values in text form; `None` is NULL.
pub(crate) type Row = Vec<Option<Bytes>>;

/// The answer to IDENTIFY_SYSTEM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemIdentity {
    pub system_id: SystemId,
    pub timeline: TimeLine,
    /// The WAL flush position; on a standby the replay position.
    pub lsn: Lsn,
}

/// A session with `replication=true`.
pub struct ReplicationClient {
    wire: Wire,
    options: Arc<ConnectOptions>,
    cancel: CancelToken,
    parameters: BTreeMap<String, String>,
}

impl ReplicationClient {
    /// Connects, encrypts and authenticates. Disables the server's timeouts for idle and long sessions.
    pub async fn connect(options: &ConnectOptions) -> Result<Self> {
        let options = Arc::new(options.clone());
        let mut client = Self::open(&options, &[]).await?;
        // A server rejects a parameter that it does not have, so the version has to be known first.
        let limits = client.limits_of_later_versions().await?;
        if limits.is_empty() {
            return Ok(client);
        }
        client.close().await;
        Self::open(&options, &limits).await
    }

    async fn open(
        options: &Arc<ConnectOptions>,
        settings: &[(&'static str, &'static str)],
    ) -> Result<Self> {
        let mut attempts = Attempts::new(options);
        loop {
            match Self::attempt(options, attempts.current(), settings).await {
                Ok(client) => return Ok(client),
                Err(error) => attempts.failed(error)?,
            }
        }
    }

    /// Startup parameters that disable the timeouts that version 13 does not have, if they are set on the server.
    async fn limits_of_later_versions(&mut self) -> Result<Vec<(&'static str, &'static str)>> {
        let version_num = self.version_num().await?;
        let mut limits = Vec::new();
        for (since, name) in [(140_000, "idle_session_timeout"), (170_000, "transaction_timeout")] {
            if version_num >= since && self.show(name).await? != "0" {
                limits.push((name, "0"));
            }
        }
        Ok(limits)
    }

    async fn attempt(
        options: &Arc<ConnectOptions>,
        encryption: Encryption,
        settings: &[(&'static str, &'static str)],
    ) -> Result<Self> {
        let mut wire = Wire::new(open(options, encryption).await?, options.idle_timeout);
        let limit = options.connect_timeout;
        let session = authentication::start_session(&mut wire, options, settings);
        let started = timeout(limit, session).await;
        let start = started.unwrap_or(Err(Error::Timeout {
            doing: "opening a session",
            seconds: limit.as_secs(),
        }))?;
        let encryption =
            if wire.transport().is_encrypted() { Encryption::Required } else { Encryption::Plain };
        let cancel = CancelToken {
            options: Arc::clone(options),
            encryption,
            process_id: start.process_id,
            secret_key: start.secret_key,
        };
        Ok(Self { wire, options: Arc::clone(options), cancel, parameters: start.parameters })
    }

    /// Cancels this session from outside.
    pub fn cancel_token(&self) -> CancelToken {
        self.cancel.clone()
    }

    pub fn is_encrypted(&self) -> bool {
        self.wire.transport().is_encrypted()
    }

    /// The server's full version number (150018), from SHOW.
    pub async fn version_num(&mut self) -> Result<u32> {
        let text = self.show("server_version_num").await?;
        text.parse().map_err(|_| Error::Version(text))
    }

    pub async fn identify_system(&mut self) -> Result<SystemIdentity> {
        let doing = "IDENTIFY_SYSTEM";
        let rows = self.query(doing).await?;
        let field = |at: usize| field(&rows, at, doing);
        let number = |at: usize| {
            let text = field(at)?;
            text.parse::<u64>().map_err(|_| Error::protocol(format!("{doing} returned '{text}'")))
        };
        Ok(SystemIdentity {
            system_id: SystemId(number(0)?),
            timeline: TimeLine(number(1)? as u32),
            lsn: field(2)?.parse()?,
        })
    }

    /// TIMELINE_HISTORY: the server's own history file of a timeline.
    pub async fn timeline_history(&mut self, timeline: TimeLine) -> Result<TimelineHistory> {
        let command = format!("TIMELINE_HISTORY {timeline}");
        let rows = self.query(&command).await?;
        let content = rows.first().and_then(|row| row.get(1)).and_then(Option::as_deref);
        let missing = || Error::protocol(format!("{command} gave no content"));
        Ok(TimelineHistory::parse(timeline, content.ok_or_else(missing)?)?)
    }

    pub async fn show(&mut self, setting: &str) -> Result<String> {
        let rows = self.query(&format!("SHOW {setting}")).await?;
        Ok(field(&rows, 0, setting)?.to_owned())
    }

    /// Whether the server is in recovery: `in_hot_standby` from 14 on. Before, `transaction_read_only`: the session
    /// requested read-write transactions, so they are read-only exactly during recovery.
    pub async fn in_recovery(&mut self, version: PgVersion) -> Result<bool> {
        let setting =
            if version.major() >= 14 { "in_hot_standby" } else { "transaction_read_only" };
        Ok(self.show(setting).await? == "on")
    }

    /// A parameter that the server reported at the start of the session.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// Runs a command and returns the rows of its last result.
    pub(crate) async fn query(&mut self, command: &str) -> Result<Vec<Row>> {
        let limit = self.options.query_timeout;
        match timeout(limit, self.query_unbounded(command)).await {
            Ok(result) => result,
            Err(_) => {
                Err(Error::Timeout { doing: "waiting for an answer", seconds: limit.as_secs() })
            }
        }
    }

    async fn query_unbounded(&mut self, command: &str) -> Result<Vec<Row>> {
        self.send_query(command).await?;
        let mut rows = Vec::new();
        let mut failure = None;
        loop {
            match self.receive("waiting for an answer").await? {
                Received::Message(Message::RowDescription(_)) => rows.clear(),
                Received::Message(Message::DataRow(body)) => push_row(&mut rows, &body)?,
                Received::Message(Message::ErrorResponse(body)) => {
                    failure = Some(ServerError::read(&mut body.fields())?);
                }
                Received::Message(Message::NoticeResponse(body)) => {
                    debug!("server: {}", notice(&body)?);
                }
                Received::Message(Message::ReadyForQuery(_)) => break,
                Received::Message(
                    Message::CommandComplete(_)
                    | Message::EmptyQueryResponse
                    | Message::ParameterStatus(_),
                ) => {}
                _ => return Err(Error::protocol(format!("unexpected response to {command}"))),
            }
        }
        match failure {
            Some(said) => Err(Error::server(command, said)),
            None => Ok(rows),
        }
    }

    /// Sends a command. The answer has to be read with [`Self::receive`].
    pub(crate) async fn send_query(&mut self, command: &str) -> Result<()> {
        let mut packet = BytesMut::new();
        frontend::query(command, &mut packet)
            .map_err(|e| Error::Options(format!("a command cannot be sent: {e}")))?;
        self.wire.send(&packet, "sending a command").await
    }

    /// Sends data of a COPY IN as one message.
    pub(crate) async fn send_copy_data(&mut self, data: &[u8], doing: &'static str) -> Result<()> {
        let mut packet = BytesMut::with_capacity(data.len() + 5);
        let message = frontend::CopyData::new(data)
            .map_err(|e| Error::Options(format!("data cannot be sent: {e}")))?;
        message.write(&mut packet);
        self.wire.send(&packet, doing).await
    }

    pub(crate) async fn send_copy_done(&mut self, doing: &'static str) -> Result<()> {
        let mut packet = BytesMut::new();
        frontend::copy_done(&mut packet);
        self.wire.send(&packet, doing).await
    }

    /// Sends Terminate, so that the server does not log a lost connection.
    pub async fn close(mut self) {
        let mut packet = BytesMut::new();
        frontend::terminate(&mut packet);
        if let Err(error) = self.wire.send(&packet, "closing the session").await {
            debug!("{error}");
        }
    }

    /// The next message of an answer.
    pub(crate) async fn receive(&mut self, doing: &'static str) -> Result<Received> {
        self.wire.receive(doing).await
    }
}

/// A column of the first row.
pub(crate) fn field<'a>(rows: &'a [Row], at: usize, doing: &str) -> Result<&'a str> {
    rows.first()
        .and_then(|row| row.get(at))
        .and_then(|value| std::str::from_utf8(value.as_deref()?).ok())
        .ok_or_else(|| Error::protocol(format!("{doing} did not return column {}", at + 1)))
}

/// Decodes a row of text columns onto `rows`.
pub(crate) fn push_row(rows: &mut Vec<Row>, body: &DataRowBody) -> Result<()> {
    if rows.len() >= ROWS_MAX {
        return Err(Error::protocol("an answer has too many rows"));
    }
    let malformed = |_| Error::protocol("a row is malformed");
    let buffer = body.buffer_bytes();
    if buffer.len() > ROW_BYTES_MAX {
        return Err(Error::protocol("a row is too long"));
    }
    let mut row = Vec::new();
    let mut ranges = body.ranges();
    while let Some(range) = ranges.next().map_err(malformed)? {
        row.push(range.map(|range| Bytes::copy_from_slice(&buffer[range])));
    }
    rows.push(row);
    Ok(())
}
