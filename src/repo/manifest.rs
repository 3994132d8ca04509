//! The manifest of a backup: small, read by `info` for every backup, and the last object written. It
//! carries the SHA-256 of the file list, which carries that of every other object of the backup.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Error, layout::BackupPaths, metadata, object_header::ObjectKind, publication};
use crate::{
    storage::Storage,
    types::{
        ArchiveId, BackupLabel, BackupType, Compression, DataPath, HistoryId, Lsn, Oid, PgVersion,
        Sha256, StanzaName, SystemId, TimeLine, WalSegment, WalSegmentSize,
    },
};

/// The facts of a backup, and the objects to read next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manifest {
    /// The version of the program that made the backup.
    pub program_version: String,
    /// The label, which is also the directory's name.
    pub label: BackupLabel,
    /// The stanza.
    pub stanza: StanzaName,
    /// The backup that this one is the difference to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prior: Option<BackupLabel>,
    /// The backups whose bundles the block maps refer to; reference n of a map is the n-th, from 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<BackupLabel>,
    /// How it was found out what has changed since the prior backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<ChangeRecord>,
    /// Why this is a full, although another type was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_reason: Option<String>,
    /// The cluster.
    pub cluster: ClusterRecord,
    /// Which source gave the bytes: `stream` or `local`.
    pub source: String,
    /// When the backup began, and when the server named its stop position; microseconds since 1970.
    /// A second would be too coarse: a target just after the stop must find this backup.
    pub timestamp_us: Span<i64>,
    /// Since when files were copied, by the clock that their times come from, in microseconds since 1970; known
    /// where the source was `local`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_start_us: Option<i64>,
    /// The WAL positions between which the copy was made.
    pub wal: Span<WalPosition>,
    /// How the frames are compressed.
    pub compression: Compression,
    /// How files are cut and digested.
    pub block: BlockFacts,
    /// Tablespaces outside the data directory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tablespaces: Vec<TablespaceRecord>,
    /// The databases of the cluster, where the role could see them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<DatabaseRecord>,
    /// Sums of bytes and objects.
    pub totals: Totals,
    /// Damaged pages found while the backup was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub page_errors: Vec<PageErrors>,
    /// Entries of the data directory that the source could not give: symbolic links, and what is behind them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<DataPath>,
    /// Relation files whose length was no multiple of the page size.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub misaligned_files: Vec<MisalignedFile>,
    /// Annotations given with the backup; later changes are objects of their own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Whether every WAL segment from start to stop was seen in the archive before publication.
    pub archive_checked: bool,
    /// The file list.
    pub file_list: ObjectRecord,
    /// PostgreSQL's backup_manifest, framed like every object.
    pub backup_manifest: ObjectRecord,
}

/// How it was found out what has changed since the prior backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeRecord {
    /// Who found it out.
    pub by: ChangesBy,
    /// Why the server was not asked although it might have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Who found out what has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangesBy {
    /// This program, by the digests of all blocks.
    Blocks,
    /// The server, by its WAL summaries.
    Summaries,
}

/// The cluster a backup was taken of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ClusterRecord {
    /// Its number in the stanza's history.
    pub history_id: HistoryId,
    /// Its system identifier.
    pub system_id: SystemId,
    /// Its major version.
    pub version: PgVersion,
    /// Its full version number, such as 150018.
    pub version_num: u32,
    /// The size of its WAL segments in bytes.
    pub wal_segment_size: WalSegmentSize,
    /// The size of its pages in bytes.
    pub page_size: u32,
    /// Whether its pages carry checksums.
    pub page_checksums: bool,
    /// The permission bits of the data directory itself, which no entry of the file list is: 0700 or 0750.
    pub data_directory_mode: u32,
}

/// A start and a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span<T> {
    /// Where or when it began.
    pub start: T,
    /// Where or when it ended.
    pub stop: T,
}

/// A position on a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalPosition {
    /// The position.
    pub lsn: Lsn,
    /// The timeline.
    pub timeline: TimeLine,
}

/// How files are cut into blocks and digested.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BlockFacts {
    /// The size of a block in bytes.
    pub size: u32,
    /// The key of the block digests, 64 hexadecimal digits; a chain shares one.
    pub digest_key: Sha256,
}

/// A tablespace outside the data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TablespaceRecord {
    /// Its object identifier.
    pub oid: Oid,
    /// Its name, where the role could see it.
    pub name: Option<String>,
    /// Its directory on the server; bytes that are not UTF-8 are written `%XX`.
    pub location: String,
}

/// A database of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseRecord {
    /// Its object identifier.
    pub oid: Oid,
    /// Its name.
    pub name: String,
}

/// Sums over a backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Totals {
    /// Files, without directories and links.
    pub files: u64,
    /// Bytes of all files of the cluster.
    pub size: u64,
    /// Raw bytes of the blocks that this backup stores itself.
    pub size_delta: u64,
    /// Bytes that the data of the whole set takes in the repository, this backup and its references.
    pub repo_size: u64,
    /// Bytes that this backup's own data takes in the repository.
    pub repo_size_delta: u64,
    /// Bytes of the block maps, part of `repo-size-delta`.
    pub map_size: u64,
    /// Bundles of this backup.
    pub bundles: u32,
    /// Bundles of block maps of this backup; older versions did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map_bundles: Option<u32>,
}

/// The damaged pages of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageErrors {
    /// The file.
    pub path: DataPath,
    /// The numbers of the pages in the file, ascending.
    pub pages: Vec<u32>,
}

/// A relation file that ends inside a page: a write was interrupted, or something else wrote to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MisalignedFile {
    /// The file.
    pub path: DataPath,
    /// Its size in bytes.
    pub size: u64,
}

/// An object and what its bytes must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRecord {
    /// Size as stored, in bytes.
    pub size: u64,
    /// SHA-256 of the stored bytes.
    pub sha256: Sha256,
}

impl Manifest {
    /// The greatest manifest that is read, in bytes; a manifest is a few KiB.
    pub const SIZE_MAX: usize = 64 << 20;

    /// The type of the backup.
    pub fn kind(&self) -> BackupType {
        self.label.kind()
    }

    /// The files in which the backup found damage.
    pub fn damaged_files(&self) -> BTreeSet<&DataPath> {
        let pages = self.page_errors.iter().map(|file| &file.path);
        pages.chain(self.misaligned_files.iter().map(|file| &file.path)).collect()
    }

    /// Whether something was wrong with the cluster, or something of it is not in the backup.
    pub fn has_errors(&self) -> bool {
        !self.damaged_files().is_empty() || !self.left_out.is_empty()
    }

    /// Start and stop of the backup, seconds since 1970.
    pub fn timestamp(&self) -> Span<i64> {
        let seconds = |us: i64| us.div_euclid(1_000_000);
        Span { start: seconds(self.timestamp_us.start), stop: seconds(self.timestamp_us.stop) }
    }

    /// The directory of the cluster's WAL.
    pub fn archive_id(&self) -> ArchiveId {
        ArchiveId { version: self.cluster.version, history_id: self.cluster.history_id }
    }

    /// The segment that holds the start, on the timeline of that position; for the files that a recovery needs see
    /// [`super::wal_needed`].
    pub fn wal_start(&self) -> WalSegment {
        let start = self.wal.start;
        WalSegment::containing(start.lsn, start.timeline, self.cluster.wal_segment_size)
    }

    /// The segment that holds the last byte before the stop.
    pub fn wal_stop(&self) -> WalSegment {
        let stop = self.wal.stop;
        WalSegment::ending_at(stop.lsn, stop.timeline, self.cluster.wal_segment_size)
    }

    /// The label of the backup that reference `n` of a block map names.
    pub fn holder(&self, reference: u32) -> Option<&BackupLabel> {
        match reference {
            0 => Some(&self.label),
            n => self.references.get(n as usize - 1),
        }
    }

    /// Publishes the backup: from here on it exists. Not to be cancelled; see [`publication`].
    pub async fn publish(&self, storage: &dyn Storage) -> Result<(), Error> {
        let path = BackupPaths::new(&self.stanza, &self.label)?.manifest()?;
        let body = metadata::to_json(self, path.as_str())?;
        publication::create(storage, &path, metadata::frame(ObjectKind::Manifest, &body)).await
    }

    /// Reads and verifies the manifest of `label`.
    pub async fn read(
        storage: &dyn Storage,
        stanza: &StanzaName,
        label: &BackupLabel,
    ) -> Result<Self, Error> {
        let path = BackupPaths::new(stanza, label)?.manifest()?;
        let body: Bytes =
            match metadata::read(storage, &path, ObjectKind::Manifest, Self::SIZE_MAX).await {
                Err(error) if error.is_not_found() => {
                    return Err(Error::BackupMissing {
                        label: label.to_string(),
                        location: storage.location(),
                    });
                }
                other => other?,
            };
        let manifest: Self = metadata::from_json(&body, path.as_str())?;
        manifest.check(stanza, label, path.as_str())?;
        Ok(manifest)
    }

    /// Refuses a manifest that was moved here from elsewhere, and values that would make arithmetic fail.
    fn check(&self, stanza: &StanzaName, label: &BackupLabel, object: &str) -> Result<(), Error> {
        let power = |size: u32| size.is_power_of_two() && (512..=65536).contains(&size);
        if self.label != *label || self.stanza != *stanza {
            return Err(Error::format(object, "it is the manifest of another backup"));
        }
        if !power(self.block.size) || !power(self.cluster.page_size) {
            return Err(Error::format(object, "a block or page size is out of range"));
        }
        Ok(())
    }
}
