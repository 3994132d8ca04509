//! Results before and after the COPY: start position, tablespaces, end position, and the error for damaged pages,
//! which does not fail the backup.

use postgres_protocol::message::backend::{ErrorResponseBody, Message};
use tracing::{info, warn};

use super::{BackupEvent, BaseBackup, COMPLAINTS_MAX, Phase, TablespaceRow};
use crate::{
    postgres::{
        Error, Result, ServerError,
        error::WAITING_FOR_START,
        protocol::{Received, Row, field, push_row},
    },
    types::{Lsn, Oid, TimeLine},
};

pub(super) const UNABLE: &str = "unable to take the backup";
const ENDING: &str = "waiting for the backup to end";

impl BaseBackup {
    pub(super) async fn read_start(&mut self) -> Result<()> {
        let rows = self.read_result(WAITING_FOR_START).await?;
        (self.started.lsn, self.started.timeline) = position(&rows)?;
        let rows = self.read_result(WAITING_FOR_START).await?;
        self.started.tablespaces = rows.iter().map(tablespace).collect::<Result<_>>()?;
        let oid = |row: &TablespaceRow| row.tablespace.as_ref().map(|(oid, _)| *oid);
        self.archives = self.started.tablespaces.iter().map(oid).collect();
        Ok(())
    }

    pub(super) async fn read_end(&mut self) -> Result<BackupEvent> {
        let rows = self.read_result(ENDING).await?;
        let (lsn, timeline) = position(&rows)?;
        let mut complaints = Vec::new();
        loop {
            match self.message(ENDING).await? {
                Message::ReadyForQuery(_) => break,
                Message::CommandComplete(_) => {}
                Message::ErrorResponse(body) => complaints = self.complaints(&body)?,
                _ => return Err(Error::protocol("unexpected message after the end of a backup")),
            }
        }
        self.phase = Phase::Ended;
        Ok(BackupEvent::End { lsn, timeline, complaints })
    }

    /// After the end position, XX001 reports damaged pages; the backup is complete.
    fn complaints(&mut self, body: &ErrorResponseBody) -> Result<Vec<String>> {
        let error = ServerError::read(&mut body.fields())?;
        if error.code != ServerError::DATA_CORRUPTED {
            return Err(failed(error));
        }
        let warnings = self.warnings.drain(..).map(|warning| warning.message);
        Ok(warnings.chain([error.message]).collect())
    }

    /// The rows of one result, from RowDescription to CommandComplete.
    async fn read_result(&mut self, doing: &'static str) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        loop {
            match self.message(doing).await? {
                Message::RowDescription(_) => rows.clear(),
                Message::DataRow(body) => push_row(&mut rows, &body)?,
                Message::CommandComplete(_) => return Ok(rows),
                Message::ErrorResponse(body) => {
                    let said = ServerError::read(&mut body.fields())?;
                    return Err(if self.preparing_incremental {
                        said.while_incremental(UNABLE)
                    } else {
                        failed(said)
                    });
                }
                _ => return Err(Error::protocol("unexpected message before or after a backup")),
            }
        }
    }

    /// The next message that is not a notice: notices can arrive anywhere in the stream.
    pub(super) async fn message(&mut self, doing: &'static str) -> Result<Message> {
        loop {
            match self.client.receive(doing).await? {
                Received::Message(Message::NoticeResponse(body)) => {
                    self.keep_notice(ServerError::read(&mut body.fields())?);
                }
                Received::Message(Message::ParameterStatus(_)) => {}
                Received::Message(message) => return Ok(message),
                Received::CopyBoth => return Err(Error::protocol("BASE_BACKUP returned CopyBoth")),
            }
        }
    }

    fn keep_notice(&mut self, said: ServerError) {
        if said.severity != "WARNING" {
            info!("server: {}", said.message);
            return;
        }
        if self.keep_left_out(&said) {
            return;
        }
        warn!("server: {}", said.message);
        if self.warnings.len() < COMPLAINTS_MAX {
            self.warnings.push(said);
        }
    }
}

pub(super) fn failed(said: ServerError) -> Error {
    Error::server(UNABLE, said)
}

fn position(rows: &[Row]) -> Result<(Lsn, TimeLine)> {
    let doing = "BASE_BACKUP";
    let lsn: Lsn = field(rows, 0, doing)?.parse()?;
    let timeline = field(rows, 1, doing)?;
    let timeline = timeline
        .parse()
        .map_err(|_| Error::protocol(format!("{doing} returned timeline '{timeline}'")))?;
    Ok((lsn, TimeLine(timeline)))
}

fn tablespace(row: &Row) -> Result<TablespaceRow> {
    let number = |at: usize| -> Result<Option<u64>> {
        let Some(value) = row.get(at).and_then(Option::as_deref) else { return Ok(None) };
        let parsed = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
        parsed.map(Some).ok_or_else(|| Error::protocol("a tablespace row has no number"))
    };
    let location = row.get(1).and_then(Option::as_deref);
    let tablespace = match (number(0)?, location) {
        (None, _) => None,
        (Some(oid), Some(location)) => Some((oid_of(oid)?, location.to_vec())),
        (Some(_), None) => return Err(Error::protocol("a tablespace has no location")),
    };
    Ok(TablespaceRow { tablespace, size: number(2)?.map(|kib| kib.saturating_mul(1024)) })
}

pub(super) fn oid_of(number: u64) -> Result<Oid> {
    u32::try_from(number).map(Oid).map_err(|_| Error::protocol(format!("{number} is not an oid")))
}
