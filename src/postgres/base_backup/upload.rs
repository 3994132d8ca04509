//! UPLOAD_MANIFEST (17 on): sends the manifest of the prior backup for an incremental backup (`UploadManifest` in
//! `src/backend/replication/walsender.c`).

use bytes::Bytes;
use postgres_protocol::message::backend::Message;
use tracing::debug;

use crate::postgres::{
    Error, ReplicationClient, Result, ServerError,
    protocol::{Received, notice},
};

const DOING: &str = "uploading the manifest of the prior backup";
const UNABLE: &str = "unable to upload the manifest of the prior backup";
/// Size of a message. The server parses the manifest in chunks of this size.
const CHUNK: usize = 64 << 10;

/// Uploads `manifest` and waits until the session is ready for the next command.
pub(super) async fn manifest(client: &mut ReplicationClient, manifest: &Bytes) -> Result<()> {
    client.send_query("UPLOAD_MANIFEST").await?;
    match next(client).await? {
        Message::CopyInResponse(_) => {}
        Message::ErrorResponse(body) => {
            return Err(refused(ServerError::read(&mut body.fields())?));
        }
        _ => return Err(Error::protocol("UPLOAD_MANIFEST did not start with COPY")),
    }
    // A server that rejects the manifest reports the error at once, but still reads and discards the rest.
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
            _ => return Err(Error::protocol("unexpected message after UPLOAD_MANIFEST")),
        }
    }
    refusal.map_or(Ok(()), |said| Err(refused(said)))
}

fn refused(said: ServerError) -> Error {
    said.while_incremental(UNABLE)
}

/// The next message that is not a notice.
async fn next(client: &mut ReplicationClient) -> Result<Message> {
    loop {
        match client.receive(DOING).await? {
            Received::Message(Message::NoticeResponse(body)) => {
                debug!("server: {}", notice(&body)?);
            }
            Received::Message(Message::ParameterStatus(_)) => {}
            Received::Message(message) => return Ok(message),
            Received::CopyBoth => return Err(Error::protocol("UPLOAD_MANIFEST returned CopyBoth")),
        }
    }
}
