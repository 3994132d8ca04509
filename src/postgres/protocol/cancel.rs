//! Cancel requests: a second connection that names the session to interrupt.

use std::{io, sync::Arc, time::Duration};

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::postgres::{
    ConnectOptions, Error, Result,
    connect::{Encryption, open},
};

const DOING: &str = "cancelling";
/// Timeout of a cancel request. It is short, because the command is ending.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

/// Cancels the running command of a session over a second connection.
#[derive(Clone, Debug)]
pub struct CancelToken {
    pub(super) options: Arc<ConnectOptions>,
    pub(super) encryption: Encryption,
    pub(super) process_id: i32,
    pub(super) secret_key: i32,
}

impl CancelToken {
    /// Sends the cancel request. Returns when the server has received it: the command may still run.
    pub async fn cancel(&self) -> Result<()> {
        match timeout(CANCEL_TIMEOUT, self.request()).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout { doing: DOING, seconds: CANCEL_TIMEOUT.as_secs() }),
        }
    }

    async fn request(&self) -> Result<()> {
        let broken = |source: io::Error| Error::Broken { doing: DOING, source };
        let mut transport = open(&self.options, self.encryption).await?;
        let mut packet = BytesMut::new();
        frontend::cancel_request(self.process_id, self.secret_key, &mut packet);
        transport.write_all(&packet).await.map_err(broken)?;
        transport.flush().await.map_err(broken)?;
        // The server's only answer is to close the connection, with or without an error.
        let _closed = transport.read_u8().await;
        Ok(())
    }
}
