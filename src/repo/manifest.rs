//! The manifest of a backup. It is the last object that a backup writes, and small, because `info` reads that of every
//! backup. It holds the SHA-256 of the file list and of `backup_manifest`; the file list holds the SHA-256 of every
//! bundle: from the manifest on, every byte of a backup can be verified.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Error, layout::BackupPaths, metadata, object_header::ObjectKind, publication};
pub use super::{
    object_record::ObjectRecord,
    wal_span::{Span, WalPosition},
};
use crate::{
    storage::Storage,
    types::{
        ArchiveId, BackupLabel, BackupType, Compression, DataPath, HistoryId, Oid, PgVersion,
        Sha256, StanzaName, SystemId, WalSegment, WalSegmentSize,
    },
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manifest {
    /// The pgstrata version that took the backup.
    pub program_version: String,
    /// Also the name of the directory; a manifest in another directory is refused.
    pub label: BackupLabel,
    pub stanza: StanzaName,
    /// The backup that a differential or incremental backup was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prior: Option<BackupLabel>,
    /// The backups whose bundles the block maps refer to. Reference `n` of a block map is the n-th, counted from 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<BackupLabel>,
    /// How changed blocks were detected; `None` for a full backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<ChangeRecord>,
    /// Why a full backup was taken although another type was requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_reason: Option<String>,
    pub cluster: ClusterRecord,
    /// `stream` or `local`.
    pub source: String,
    /// When the backup began and when the server reported the stop LSN, microseconds since 1970. Seconds would be too
    /// coarse: a recovery target just after the stop must select this backup.
    pub timestamp_us: Span<i64>,
    /// When the copy of files began, microseconds since 1970, by the clock of the file system's times; only for source
    /// `local`. A file changed before it, and not after, can be recognised by size and time in the next backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_start_us: Option<i64>,
    /// WAL from start to stop makes the backup consistent.
    pub wal: Span<WalPosition>,
    pub compression: Compression,
    pub block: BlockFormat,
    /// Those outside the data directory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tablespaces: Vec<TablespaceRecord>,
    /// Empty if the role could not read `pg_database`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<DatabaseRecord>,
    pub totals: Totals,
    /// Pages with invalid checksums, found while the backup was taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub page_errors: Vec<PageErrors>,
    /// Entries of the data directory that the source cannot deliver: symbolic links, and what they point to. They are not
    /// in the backup.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<DataPath>,
    /// Relation files whose size is not a multiple of the page size.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub misaligned_files: Vec<MisalignedFile>,
    /// Those given with the backup command; later changes are objects of their own (see `annotation`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Whether every WAL segment from start to stop was found in the archive before the manifest was written.
    pub archive_checked: bool,
    pub file_list: ObjectRecord,
    pub backup_manifest: ObjectRecord,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeRecord {
    pub by: ChangesBy,
    /// Why WAL summaries were not used although the server has the feature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangesBy {
    /// By comparing the digests of all blocks with those of the prior backup.
    Blocks,
    /// By the server's WAL summaries.
    Summaries,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ClusterRecord {
    pub history_id: HistoryId,
    pub system_id: SystemId,
    /// Major version.
    pub version: PgVersion,
    /// `server_version_num`, such as 150018.
    pub version_num: u32,
    pub wal_segment_size: WalSegmentSize,
    /// Bytes.
    pub page_size: u32,
    pub page_checksums: bool,
    /// The mode of the data directory itself, which has no entry in the file list: 0700 or 0750.
    pub data_directory_mode: u32,
}

/// How files are cut into blocks and digested.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BlockFormat {
    /// Bytes; a power of two.
    pub size: u32,
    /// The key of the block digests. All backups of a chain share it, or their digests could not be compared.
    pub digest_key: Sha256,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TablespaceRecord {
    pub oid: Oid,
    /// `None` if the role could not read `pg_tablespace`.
    pub name: Option<String>,
    /// Directory on the server; bytes that are not UTF-8 are written `%XX`.
    pub location: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseRecord {
    pub oid: Oid,
    pub name: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Totals {
    /// Without directories and links.
    pub files: u64,
    /// Raw bytes of all files.
    pub size: u64,
    /// Raw bytes of the blocks that this backup stores itself.
    pub size_delta: u64,
    /// Stored bytes of this backup's data and of all data that it refers to.
    pub repo_size: u64,
    /// Stored bytes of this backup's own data.
    pub repo_size_delta: u64,
    /// Stored bytes of the block maps, included in `repo-size-delta`.
    pub map_size: u64,
    /// Data bundles of this backup.
    pub bundles: u32,
    /// Map bundles of this backup; `None` in manifests of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map_bundles: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageErrors {
    pub path: DataPath,
    /// Page numbers in the file, ascending.
    pub pages: Vec<u32>,
}

/// A relation file that ends inside a page: a write was interrupted, or another program wrote to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MisalignedFile {
    pub path: DataPath,
    /// Bytes.
    pub size: u64,
}

impl Manifest {
    /// Largest manifest that is read, in bytes. A usual manifest has a few KiB.
    pub const SIZE_MAX: usize = 64 << 20;

    pub fn kind(&self) -> BackupType {
        self.label.kind()
    }

    /// Files with page errors or of a misaligned size.
    pub fn damaged_files(&self) -> BTreeSet<&DataPath> {
        let pages = self.page_errors.iter().map(|file| &file.path);
        pages.chain(self.misaligned_files.iter().map(|file| &file.path)).collect()
    }

    /// Whether the cluster had damaged files, or some of its entries are not in the backup.
    pub fn has_errors(&self) -> bool {
        !self.damaged_files().is_empty() || !self.left_out.is_empty()
    }

    /// [`Self::timestamp_us`] in seconds since 1970.
    pub fn timestamp(&self) -> Span<i64> {
        let seconds = |us: i64| us.div_euclid(1_000_000);
        Span { start: seconds(self.timestamp_us.start), stop: seconds(self.timestamp_us.stop) }
    }

    pub fn archive_id(&self) -> ArchiveId {
        ArchiveId { version: self.cluster.version, history_id: self.cluster.history_id }
    }

    /// The segment of the start position, on its timeline. For the WAL that recovery needs see [`super::wal_needed`].
    pub fn wal_start(&self) -> WalSegment {
        let start = self.wal.start;
        WalSegment::containing(start.lsn, start.timeline, self.cluster.wal_segment_size)
    }

    /// The segment with the last byte before the stop position.
    pub fn wal_stop(&self) -> WalSegment {
        let stop = self.wal.stop;
        WalSegment::ending_at(stop.lsn, stop.timeline, self.cluster.wal_segment_size)
    }

    /// The backup that `reference` of a block map stands for: 0 is this one.
    pub fn referenced_label(&self, reference: u32) -> Option<&BackupLabel> {
        match reference {
            0 => Some(&self.label),
            n => self.references.get(n as usize - 1),
        }
    }

    /// Creates the manifest object: with it the backup exists. Must not be cancelled, see [`publication`].
    pub async fn publish(&self, storage: &dyn Storage) -> Result<(), Error> {
        let path = BackupPaths::new(&self.stanza, &self.label)?.manifest()?;
        let body = metadata::to_json(self, path.as_str())?;
        publication::create(storage, &path, metadata::frame(ObjectKind::Manifest, &body)).await
    }

    /// Reads and verifies the manifest of `label`; [`Error::BackupMissing`] if there is none.
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

    /// Refuses a manifest that belongs to another directory, and sizes that arithmetic on blocks and pages cannot take.
    fn check(&self, stanza: &StanzaName, label: &BackupLabel, object: &str) -> Result<(), Error> {
        let is_valid_size = |size: u32| size.is_power_of_two() && (512..=65536).contains(&size);
        if self.label != *label || self.stanza != *stanza {
            return Err(Error::format(object, "it is the manifest of another backup"));
        }
        if !is_valid_size(self.block.size) || !is_valid_size(self.cluster.page_size) {
            return Err(Error::format(object, "a block or page size is out of range"));
        }
        Ok(())
    }
}
