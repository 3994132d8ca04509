//! UPLOAD_MANIFEST (17 on): gives the session the manifest of the prior backup, which an incremental
//! one needs (`UploadManifest` in `src/backend/replication/walsender.c`).

use bytes::Bytes;
use postgres_protocol::message::backend::Message;
use tracing::debug;

use crate::postgres::{
    Error, ReplicationClient, Result, ServerError,
    protocol::{Received, notice},
};

const DOING: &str = "uploading the manifest of the prior backup";
const UNABLE: &str = "unable to upload the manifest of the prior backup";
/// Bytes in a message; the server parses what it gets in steps of this size.
const CHUNK: usize = 64 << 10;

/// Uploads `manifest`; afterwards the session takes the next command.
pub(super) async fn manifest(client: &mut ReplicationClient, manifest: &Bytes) -> Result<()> {
    client.send_query("UPLOAD_MANIFEST").await?;
    match next(client).await? {
        Message::CopyInResponse(_) => {}
        Message::ErrorResponse(body) => {
            return Err(refused(ServerError::read(&mut body.fields())?));
        }
        _ => return Err(Error::protocol("an upload does not begin with COPY")),
    }
    // A server that refuses says so at once, but takes the rest all the same and drops it.
    for chunk in manifest.chunks(CHUNK) {
        client.send_copy_data(chunk, DOING).await?;
    }
    client.send_copy_done(DOING).await?;
    let mut refusal = None;
    loop {
        match next(client).await? {
            Message::ErrorResponse(body) => refusal = Some(ServerError::read(&mut body.fields())?),
            Message::CommandComplete(_) => {}
            Message::ReadyForQuery(_) => break,
            _ => return Err(Error::protocol("an odd message came after an upload")),
        }
    }
    refusal.map_or(Ok(()), |said| Err(refused(said)))
}

fn refused(said: ServerError) -> Error {
    said.while_incremental(UNABLE)
}

/// The next message; notices are taken out wherever they come.
async fn next(client: &mut ReplicationClient) -> Result<Message> {
    loop {
        match client.receive(DOING).await? {
            Received::Message(Message::NoticeResponse(body)) => {
                debug!("the server says: {}", notice(&body)?);
            }
            Received::Message(Message::ParameterStatus(_)) => {}
            Received::Message(message) => return Ok(message),
            Received::CopyBoth => return Err(Error::protocol("an upload came as CopyBoth")),
        }
    }
}
