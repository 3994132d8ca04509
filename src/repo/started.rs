//! The notice that a backup has begun: the first object of a backup, so that expire on any host sees a
//! backup in progress and leaves it, and what it builds on, alone.

use serde::{Deserialize, Serialize};

use super::{Error, layout::BackupPaths, metadata, object_header::ObjectKind};
use crate::{
    storage::Storage,
    types::{BackupLabel, Sha256},
};

const SIZE_MAX: usize = 64 << 10;

/// Who makes a backup, and what it builds on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Started {
    /// The host that the program runs on.
    pub host: String,
    /// Its process there.
    pub process: u32,
    /// When it began, seconds since 1970.
    pub time: i64,
    /// The backups that the new one refers to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<BackupLabel>,
    /// Where it is the copy of a backup: the SHA-256 of that one's file list. Nothing else has this list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<Sha256>,
}

impl Started {
    /// Writes the notice; fails where the label is taken by another backup in progress.
    pub async fn write(&self, storage: &dyn Storage, paths: &BackupPaths) -> Result<(), Error> {
        let path = paths.started()?;
        let body = metadata::to_json(self, path.as_str())?;
        metadata::write(storage, &path, ObjectKind::Started, &body).await.map(drop)
    }

    /// Reads the notice.
    pub async fn read(storage: &dyn Storage, paths: &BackupPaths) -> Result<Self, Error> {
        let path = paths.started()?;
        let body = metadata::read(storage, &path, ObjectKind::Started, SIZE_MAX).await?;
        metadata::from_json(&body, path.as_str())
    }

    /// Reads the notice; `None` where there is none.
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
