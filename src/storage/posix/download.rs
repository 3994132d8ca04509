//! An object being read.

use std::{fs::File, io::Read};

use async_trait::async_trait;
use bytes::Bytes;

use super::{blocking, failure::failure, tree::Tree};
use crate::storage::{Download, Error, ErrorKind, ObjectPath, Result};

/// Bytes read in one go; small objects come with the opening.
const CHUNK: u64 = 512 << 10;

pub(super) struct PosixDownload {
    reader: Option<Reader>,
    first: Option<Bytes>,
    size: u64,
}

struct Reader {
    file: File,
    object: String,
    left: u64,
}

impl PosixDownload {
    pub(super) fn open(tree: &Tree, path: &ObjectPath) -> Result<Self> {
        let (file, size) = tree.open(path)?;
        let object = format!("{}/{path}", tree.location());
        let mut reader = Reader { file, object, left: size };
        let first = reader.read()?;
        Ok(Self { reader: Some(reader), first, size })
    }
}

impl Reader {
    fn read(&mut self) -> Result<Option<Bytes>> {
        let wanted = self.left.min(CHUNK);
        if wanted == 0 {
            return Ok(None);
        }
        let mut chunk = Vec::with_capacity(wanted as usize);
        let read = (&mut self.file).take(wanted).read_to_end(&mut chunk);
        read.map_err(|e| failure("read", self.object.clone(), e))?;
        if chunk.len() as u64 != wanted {
            return Err(Error::new(ErrorKind::Truncated, "read", self.object.clone()));
        }
        self.left -= wanted;
        Ok(Some(chunk.into()))
    }
}

#[async_trait]
impl Download for PosixDownload {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        match self.reader.take() {
            Some(mut reader) if reader.left > 0 => {
                let (reader, chunk) = blocking(move || {
                    let chunk = reader.read()?;
                    Ok((reader, chunk))
                })
                .await?;
                self.reader = Some(reader);
                Ok(chunk)
            }
            Some(reader) => {
                self.reader = Some(reader);
                Ok(None)
            }
            None => Err(Error::new(ErrorKind::Other, "read", "an object")
                .caused_by("an earlier read of it failed")),
        }
    }

    fn size(&self) -> u64 {
        self.size
    }
}
