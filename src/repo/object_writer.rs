//! Writes an object of unknown length behind its header, and digests what it writes.

use bytes::Bytes;

use super::{Error, manifest::ObjectRecord, object_header::ObjectHeader};
use crate::{codec::Sha256Hasher, storage::Upload};

/// An object being written.
pub struct ObjectWriter {
    upload: Box<dyn Upload>,
    hasher: Sha256Hasher,
    size: u64,
}

impl ObjectWriter {
    /// Starts the object with its header.
    pub async fn new(upload: Box<dyn Upload>, header: ObjectHeader) -> Result<Self, Error> {
        let mut writer = Self { upload, hasher: Sha256Hasher::new(), size: 0 };
        writer.write(Bytes::copy_from_slice(&header.encode())).await?;
        Ok(writer)
    }

    /// How many bytes the object has so far, header included: the offset of what is written next.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends bytes.
    pub async fn write(&mut self, data: Bytes) -> Result<(), Error> {
        if data.is_empty() {
            return Ok(());
        }
        self.hasher.update(&data);
        self.size += data.len() as u64;
        Ok(self.upload.write(data).await?)
    }

    /// Makes the object durable.
    pub async fn finish(self) -> Result<ObjectRecord, Error> {
        self.upload.finish().await?;
        Ok(ObjectRecord { size: self.size, sha256: self.hasher.finish() })
    }
}
