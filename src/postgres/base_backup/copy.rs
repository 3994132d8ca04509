//! The COPY data: archives and manifest. Up to 14, each has its own COPY; from 15 on, the first byte of every message
//! is its type (`src/backend/backup/basebackup_copy.c`).

use bytes::{Buf, Bytes};
use postgres_protocol::message::backend::Message;

use super::{
    BackupEvent, BaseBackup, Phase,
    answer::{failed, oid_of},
};
use crate::{
    postgres::{Error, Result, ServerError},
    types::Oid,
};

const STREAMING: &str = "receiving the backup";

impl BaseBackup {
    /// Reads CopyOutResponse. Up to 14, it begins an archive, or the manifest after the last archive.
    pub(super) async fn begin_copy(&mut self) -> Result<Option<BackupEvent>> {
        match self.message(STREAMING).await? {
            Message::CopyOutResponse(_) => {}
            Message::ErrorResponse(body) => {
                return Err(failed(ServerError::read(&mut body.fields())?));
            }
            _ => return Err(Error::protocol("BASE_BACKUP did not start with COPY")),
        }
        self.phase = Phase::InArchive;
        if self.tagged {
            return Ok(None);
        }
        match self.archives.pop_front() {
            Some(archive) => Ok(Some(BackupEvent::Archive(archive))),
            None => {
                self.phase = Phase::InManifest;
                Ok(Some(BackupEvent::Manifest))
            }
        }
    }

    pub(super) async fn continue_copy(&mut self) -> Result<Option<BackupEvent>> {
        match self.message(STREAMING).await? {
            Message::CopyData(body) if self.tagged => self.tagged_data(body.into_bytes()),
            Message::CopyData(body) => self.data(body.into_bytes()),
            Message::CopyDone => {
                self.end_copy()?;
                Ok(None)
            }
            Message::ErrorResponse(body) => Err(failed(ServerError::read(&mut body.fields())?)),
            _ => Err(Error::protocol("unexpected message in a backup")),
        }
    }

    fn end_copy(&mut self) -> Result<()> {
        let complete = self.phase == Phase::InManifest;
        self.phase = match (self.tagged, complete) {
            (_, true) => Phase::BeforeEnd,
            (false, false) => Phase::BeforeCopy,
            (true, false) => return Err(Error::protocol("the backup has no manifest")),
        };
        Ok(())
    }

    fn data(&self, data: Bytes) -> Result<Option<BackupEvent>> {
        if data.is_empty() {
            return Ok(None);
        }
        Ok(Some(match self.phase {
            Phase::InManifest => BackupEvent::ManifestData(data),
            _ => BackupEvent::Data(data),
        }))
    }

    fn tagged_data(&mut self, mut data: Bytes) -> Result<Option<BackupEvent>> {
        let Some(&tag) = data.first() else {
            return Err(Error::protocol("empty message in a backup"));
        };
        data.advance(1);
        match tag {
            b'd' => self.data(data),
            b'p' => Ok(None),
            b'n' if self.phase == Phase::InArchive => {
                archive_oid(&data).map(|oid| Some(BackupEvent::Archive(oid)))
            }
            b'm' if self.phase == Phase::InArchive => {
                self.phase = Phase::InManifest;
                Ok(Some(BackupEvent::Manifest))
            }
            other => Err(Error::protocol(format!("a backup message is tagged 0x{other:02x}"))),
        }
    }
}

/// The tablespace of an archive: `base.tar` is the data directory, `16401.tar` the tablespace with that OID. The
/// location follows the name, and is empty for the data directory.
fn archive_oid(body: &[u8]) -> Result<Option<Oid>> {
    let malformed = || Error::protocol("the name of an archive is malformed");
    let mut fields = body.split(|&b| b == 0);
    let name = fields.next().ok_or_else(malformed)?;
    if name == b"base.tar" {
        return Ok(None);
    }
    let number = name.strip_suffix(b".tar").ok_or_else(malformed)?;
    let number = std::str::from_utf8(number).ok().and_then(|text| text.parse().ok());
    oid_of(number.ok_or_else(malformed)?).map(Some)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn archives_are_named_after_their_tablespace() {
        assert_eq!(archive_oid(b"base.tar\0\0").unwrap(), None);
        assert_eq!(archive_oid(b"16401.tar\0/mnt/x\0").unwrap(), Some(Oid(16401)));
        for name in [&b""[..], b"x.tar\0", b"99999999999.tar\0", b"16401\0", b"-1.tar\0"] {
            assert!(archive_oid(name).is_err());
        }
    }

    proptest! {
        #[test]
        fn never_panics(body in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = archive_oid(&body);
        }
    }
}
