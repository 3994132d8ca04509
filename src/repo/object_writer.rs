//! Streams an object of unknown length: its header, then bytes, of which it keeps size and SHA-256 for the record.

use bytes::Bytes;

use super::{Error, object_header::ObjectHeader, object_record::ObjectRecord};
use crate::{codec::Sha256Hasher, storage::Upload};

pub struct ObjectWriter {
    upload: Box<dyn Upload>,
    hasher: Sha256Hasher,
    size: u64,
}

impl ObjectWriter {
    pub async fn new(upload: Box<dyn Upload>, header: ObjectHeader) -> Result<Self, Error> {
        let mut writer = Self { upload, hasher: Sha256Hasher::new(), size: 0 };
        writer.write(Bytes::copy_from_slice(&header.encode())).await?;
        Ok(writer)
    }

    /// Bytes so far, header included: the offset of the next byte.
    pub fn size(&self) -> u64 {
        self.size
    }

    pub async fn write(&mut self, data: Bytes) -> Result<(), Error> {
        if data.is_empty() {
            return Ok(());
        }
        self.hasher.update(&data);
        self.size += data.len() as u64;
        Ok(self.upload.write(data).await?)
    }

    /// Makes the object durable and visible.
    pub async fn finish(self) -> Result<ObjectRecord, Error> {
        self.upload.finish().await?;
        Ok(ObjectRecord { size: self.size, sha256: self.hasher.finish() })
    }
}
