//! The notice: the first object of a backup. It makes a backup in progress visible to an expire on any host, which then
//! keeps the backup and all that it builds on.

use serde::{Deserialize, Serialize};

use super::{Error, layout::BackupPaths, metadata, object_header::ObjectKind, writer::Writer};
use crate::{
    storage::{ErrorKind, Storage},
    types::{BackupLabel, Nonce, Sha256},
};

const SIZE_MAX: usize = 64 << 10;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Started {
    #[serde(flatten)]
    pub writer: Writer,
    /// Seconds since 1970.
    pub time: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<BackupLabel>,
    /// For a copy by repo-sync: the SHA-256 of the copied backup's file list, which identifies that backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<Sha256>,
    /// Makes the notice unique; `None` in notices of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<Nonce>,
}

impl Started {
    /// A notice of this process.
    pub fn now(references: Vec<BackupLabel>, copies: Option<Sha256>) -> Self {
        Self {
            writer: Writer::current(),
            time: jiff::Timestamp::now().as_second(),
            references,
            copies,
            nonce: Some(Nonce::random()),
        }
    }

    /// An error if another backup in progress has the label.
    pub async fn write(&self, storage: &dyn Storage, paths: &BackupPaths) -> Result<(), Error> {
        let path = paths.started()?;
        let body = metadata::to_json(self, path.as_str())?;
        metadata::write(storage, &path, ObjectKind::Started, &body).await.map(drop)
    }

    /// Records that the manifest is missing, unless an earlier expire did.
    pub async fn write_lost(
        &self,
        storage: &dyn Storage,
        paths: &BackupPaths,
    ) -> Result<(), Error> {
        let path = paths.lost()?;
        let body = metadata::to_json(self, path.as_str())?;
        match metadata::write(storage, &path, ObjectKind::Started, &body).await {
            Err(Error::Storage(error)) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            written => written.map(drop),
        }
    }

    /// When an expire first found the manifest missing, seconds since 1970; `None` if none did.
    pub async fn read_lost(
        storage: &dyn Storage,
        paths: &BackupPaths,
    ) -> Result<Option<i64>, Error> {
        let path = paths.lost()?;
        match metadata::read(storage, &path, ObjectKind::Started, SIZE_MAX).await {
            Err(error) if error.is_not_found() => Ok(None),
            read => Ok(Some(metadata::from_json::<Self>(&read?, path.as_str())?.time)),
        }
    }

    pub async fn read(storage: &dyn Storage, paths: &BackupPaths) -> Result<Self, Error> {
        let path = paths.started()?;
        let body = metadata::read(storage, &path, ObjectKind::Started, SIZE_MAX).await?;
        metadata::from_json(&body, path.as_str())
    }

    /// `None` if there is no notice.
    pub async fn read_opt(
        storage: &dyn Storage,
        paths: &BackupPaths,
    ) -> Result<Option<Self>, Error> {
        match Self::read(storage, paths).await {
            Err(error) if error.is_not_found() => Ok(None),
            read => read.map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::tests::memory::MemoryStorage;

    /// Two containers may have one host name, process id and second. Bytes that are equal would be taken for one's own by
    /// a writer that finds the name taken after an answer was lost.
    #[tokio::test]
    async fn no_two_notices_are_the_same() {
        let storage = MemoryStorage::default();
        let label = "20261121-092452F".parse().unwrap();
        let paths = BackupPaths::new(&"demo".parse().unwrap(), &label).unwrap();
        let one = Started::now(Vec::new(), None);
        let twin = Started { nonce: Some(Nonce::random()), ..one.clone() };
        one.write(&storage, &paths).await.unwrap();
        assert_eq!(Started::read(&storage, &paths).await.unwrap(), one);
        assert_ne!(one, twin);
        assert!(twin.write(&storage, &paths).await.is_err());
        let bytes = storage.object(&paths.started().unwrap());
        storage.remove(&paths.started().unwrap());
        twin.write(&storage, &paths).await.unwrap();
        assert_ne!(storage.object(&paths.started().unwrap()), bytes);
    }

    #[test]
    fn a_notice_of_an_older_version_is_read() {
        let text =
            r#"{"host":"db1","process":4711,"time":1795264539,"references":["20261121-092452F"]}"#;
        let notice: Started = metadata::from_json(text.as_bytes(), "started").unwrap();
        assert_eq!((notice.writer.process, notice.nonce, notice.references.len()), (4711, None, 1));
        assert!(!notice.writer.is_gone());
    }
}
