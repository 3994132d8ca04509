//! Encrypts an object that is being written, chunk by chunk.

use async_trait::async_trait;
use bytes::Bytes;

use super::failed;
use crate::{
    codec::encrypt::{CHUNK_LEN, ObjectCipher, SEALED_LEN},
    storage::{Result, Upload},
};

/// Stored bytes that are passed to the store in one call.
const BATCH_LEN: usize = 8 * SEALED_LEN;

pub(super) struct EncryptedUpload {
    inner: Box<dyn Upload>,
    cipher: ObjectCipher,
    object: String,
    /// Encrypted chunks, then the plain bytes of the chunk that is being filled.
    buffer: Vec<u8>,
    /// Where the chunk that is being filled begins in the buffer.
    open: usize,
    number: u64,
}

impl EncryptedUpload {
    pub(super) fn new(inner: Box<dyn Upload>, cipher: ObjectCipher, object: String) -> Self {
        let buffer = cipher.header().to_vec();
        let open = buffer.len();
        Self { inner, cipher, object, buffer, open, number: 0 }
    }

    /// Encrypts the chunk that is being filled.
    fn seal(&mut self, last: bool) -> Result<()> {
        let sealed = self.cipher.seal(self.number, last, &mut self.buffer, self.open);
        sealed.map_err(|error| failed("write", self.object.clone(), error))?;
        self.number += 1;
        self.open = self.buffer.len();
        Ok(())
    }

    /// Passes the buffer, which ends with an encrypted chunk, to the store.
    async fn flush(&mut self, next: Vec<u8>) -> Result<()> {
        let batch = std::mem::replace(&mut self.buffer, next);
        self.open = 0;
        self.inner.write(batch.into()).await
    }
}

#[async_trait]
impl Upload for EncryptedUpload {
    async fn write(&mut self, mut data: Bytes) -> Result<()> {
        while !data.is_empty() {
            // The last chunk has another nonce, so a full chunk is encrypted only once more bytes follow.
            if self.buffer.len() - self.open == CHUNK_LEN {
                self.seal(false)?;
                if self.buffer.len() >= BATCH_LEN {
                    self.flush(Vec::with_capacity(BATCH_LEN)).await?;
                }
            }
            let room = CHUNK_LEN - (self.buffer.len() - self.open);
            let part = data.split_to(room.min(data.len()));
            self.buffer.extend_from_slice(&part);
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<()> {
        self.seal(true)?;
        self.flush(Vec::new()).await?;
        self.inner.finish().await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.inner.abort().await
    }
}
