//! Decrypts an object that is read from its start.

use async_trait::async_trait;
use bytes::{Buf, Bytes};

use super::{EncryptedStorage, failed};
use crate::{
    codec::encrypt::{
        CHUNK_LEN, HEADER_LEN, ObjectCipher, SEALED_LEN, TAG_LEN, chunk_count, plain_size,
    },
    storage::{Download, Error, ErrorKind, ObjectPath, Result},
};

/// Plain bytes that one call returns at most, which bounds the work between two yields.
const BATCH_LEN: usize = 4 * CHUNK_LEN;

pub(super) struct EncryptedDownload {
    inner: Box<dyn Download>,
    cipher: ObjectCipher,
    object: String,
    /// Plain bytes of the whole object.
    size: u64,
    /// The number of the next chunk, and the number of chunks.
    number: u64,
    count: u64,
    /// The beginning of the next chunk, while its end has not arrived.
    held: Vec<u8>,
    /// Stored bytes that were not processed yet.
    incoming: Bytes,
}

impl EncryptedDownload {
    pub(super) async fn open(
        storage: &EncryptedStorage,
        path: &ObjectPath,
        mut inner: Box<dyn Download>,
    ) -> Result<Self> {
        let object = storage.name(path);
        let mut incoming = Bytes::new();
        while incoming.len() < HEADER_LEN
            && let Some(chunk) = inner.next().await?
        {
            incoming = if incoming.is_empty() { chunk } else { [incoming, chunk].concat().into() };
        }
        let cipher = storage.cipher(path, &incoming).await?;
        incoming.advance(HEADER_LEN);
        let size = plain_size(inner.size()).ok_or_else(|| {
            Error::new(ErrorKind::Damaged, "read", &*object)
                .caused_by(format!("no encrypted object has {} bytes", inner.size()))
        })?;
        let count = chunk_count(size);
        Ok(Self { inner, cipher, object, size, number: 0, count, held: Vec::new(), incoming })
    }

    /// Stored bytes of the next chunk.
    fn sealed_len(&self) -> usize {
        if self.number + 1 == self.count {
            (self.size - self.number * CHUNK_LEN as u64) as usize + TAG_LEN
        } else {
            SEALED_LEN
        }
    }

    /// Decrypts the next chunk and appends it to `plain`; `false` if it has not arrived completely.
    fn decrypt(&mut self, plain: &mut Vec<u8>) -> Result<bool> {
        let len = self.sealed_len();
        let last = self.number + 1 == self.count;
        if self.held.is_empty() && self.incoming.len() >= len {
            let sealed = self.incoming.split_to(len);
            self.open_chunk(last, &sealed, plain)?;
            return Ok(true);
        }
        let part = self.incoming.split_to(self.incoming.len().min(len - self.held.len()));
        self.held.extend_from_slice(&part);
        if self.held.len() < len {
            return Ok(false);
        }
        let mut held = std::mem::take(&mut self.held);
        self.open_chunk(last, &held, plain)?;
        held.clear();
        self.held = held;
        Ok(true)
    }

    fn open_chunk(&mut self, last: bool, sealed: &[u8], plain: &mut Vec<u8>) -> Result<()> {
        let opened = self.cipher.open(self.number, last, sealed, plain);
        opened.map_err(|error| failed("read", self.object.clone(), error))?;
        self.number += 1;
        Ok(())
    }
}

#[async_trait]
impl Download for EncryptedDownload {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let mut plain = Vec::new();
        while self.number < self.count {
            if self.incoming.is_empty() {
                if !plain.is_empty() {
                    break;
                }
                let Some(chunk) = self.inner.next().await? else {
                    return Err(Error::new(ErrorKind::Truncated, "read", &*self.object));
                };
                self.incoming = chunk;
            }
            if plain.is_empty() {
                plain.reserve_exact(BATCH_LEN.min(self.held.len() + self.incoming.len()));
            }
            self.decrypt(&mut plain)?;
            if plain.len() >= BATCH_LEN {
                break;
            }
        }
        Ok((!plain.is_empty()).then(|| plain.into()))
    }

    fn size(&self) -> u64 {
        self.size
    }
}
