//! The file list of a backup: a line of JSON for every entry of the data directory, in the order they were stored, then
//! one for every bundle. It is one zstd stream: a million files take a few tens of MiB, and the text is never held in
//! memory as a whole.

mod decode;

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    Error,
    layout::BackupPaths,
    limits,
    manifest::{Manifest, ObjectRecord, Totals},
    metadata,
    object_header::{ObjectHeader, ObjectKind},
    object_writer::ObjectWriter,
};
use crate::{
    storage::{Storage, Upload},
    types::{BlockDigest, CompressType, DataPath},
};

/// The longest line that is read, in bytes.
const LINE_MAX: u64 = 64 << 10;
const LEVEL: i32 = 3;
const FLUSH_AT: usize = 256 << 10;

/// An entry of the data directory. Files of a tablespace have paths through its link in `pg_tblspc`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Relative to the data directory.
    pub path: DataPath,
    #[serde(flatten)]
    pub kind: EntryKind,
    /// Permission bits.
    pub mode: u32,
    /// Modification time, seconds since 1970.
    pub mtime: i64,
    /// Numeric owner on the server.
    pub uid: u32,
    /// Numeric group on the server.
    pub gid: u32,
    /// The target of a symbolic link on the server that was followed, as in [`EntryKind::Link`]. The entry has the content
    /// of the link's target, under the path of the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum EntryKind {
    File {
        /// Bytes.
        size: u64,
        /// `None` for an empty file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        map: Option<MapRef>,
        /// The base map, if `map` is a patch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base: Option<BaseRef>,
    },
    Dir,
    /// A symbolic link that was not followed: to a tablespace, or to another entry of the data directory.
    Link {
        /// Bytes that are not UTF-8 are written `%XX`.
        target: String,
    },
}

/// Where a block map is stored, and its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapRef {
    /// 0: in this backup; n: in the n-th of the manifest's references, counted from 1.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reference: u32,
    pub bundle: u32,
    /// In the bundle object, its header included.
    pub offset: u64,
    /// Bytes.
    pub len: u32,
    /// The keyed digest of the map's bytes; hexadecimal in JSON.
    #[serde(with = "hex_digest")]
    pub digest: BlockDigest,
}

/// The base of a patch: a whole block map, never a patch itself, so that reading a map takes two reads at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseRef {
    #[serde(flatten)]
    pub map: MapRef,
    /// Size of the file that it maps, in bytes.
    pub size: u64,
}

/// Where the block map of a file is stored: whole, or as a patch and its base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapLocation {
    /// The map, or the patch.
    pub map: MapRef,
    /// The base map, if `map` is a patch.
    pub base: Option<BaseRef>,
}

impl MapRef {
    /// Offset of the first byte after the map.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.len.into())
    }
}

impl FileEntry {
    /// Size of a file in bytes; 0 for other entries.
    pub fn size(&self) -> u64 {
        match self.kind {
            EntryKind::File { size, .. } => size,
            EntryKind::Dir | EntryKind::Link { .. } => 0,
        }
    }

    /// `None` for an empty file and for other entries.
    pub fn map_location(&self) -> Option<MapLocation> {
        match self.kind {
            EntryKind::File { map: Some(map), base, .. } => Some(MapLocation { map, base }),
            _ => None,
        }
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleRecord {
    pub bundle: BundleKind,
    pub number: u32,
    #[serde(flatten)]
    pub record: ObjectRecord,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BundleKind {
    /// Frames of file data.
    Data,
    Map,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Bundle(BundleRecord),
    File(FileEntry),
}

/// The whole list in memory, which grows with the number of files.
#[derive(Debug, Default)]
pub struct FileList {
    /// In the order they were stored.
    pub files: Vec<FileEntry>,
    pub bundles: Vec<BundleRecord>,
}

/// Writes a file list entry by entry.
pub struct FileListWriter {
    object: ObjectWriter,
    encoder: zstd::stream::write::Encoder<'static, Vec<u8>>,
    name: String,
}

impl fmt::Debug for FileListWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileListWriter").field("name", &self.name).finish_non_exhaustive()
    }
}

impl FileListWriter {
    pub async fn create(storage: &dyn Storage, paths: &BackupPaths) -> Result<Self, Error> {
        let path = paths.file_list()?;
        let name = metadata::object_name(storage, &path);
        let upload: Box<dyn Upload> = storage.put_stream(&path).await?;
        let header = ObjectHeader::new(ObjectKind::FileList, CompressType::Zst);
        let object = ObjectWriter::new(upload, header).await?;
        let encoder = zstd::stream::write::Encoder::new(Vec::new(), LEVEL)
            .map_err(|error| Error::format(&name, error.to_string()))?;
        Ok(Self { object, encoder, name })
    }

    pub async fn file(&mut self, entry: &FileEntry) -> Result<(), Error> {
        self.line(entry).await
    }

    pub async fn bundle(&mut self, record: &BundleRecord) -> Result<(), Error> {
        self.line(record).await
    }

    async fn line<T: Serialize>(&mut self, value: &T) -> Result<(), Error> {
        let failed = |error: std::io::Error| Error::format(&self.name, error.to_string());
        serde_json::to_writer(&mut self.encoder, value).map_err(|e| failed(e.into()))?;
        std::io::Write::write_all(&mut self.encoder, b"\n").map_err(failed)?;
        if self.encoder.get_ref().len() >= FLUSH_AT {
            let ready = std::mem::take(self.encoder.get_mut());
            self.object.write(ready.into()).await?;
        }
        Ok(())
    }

    /// Makes the list durable.
    pub async fn finish(mut self) -> Result<ObjectRecord, Error> {
        let rest = self.encoder.finish().map_err(|e| Error::format(&self.name, e.to_string()))?;
        self.object.write(rest.into()).await?;
        self.object.finish().await
    }
}

impl FileList {
    /// Reads the file list of a backup and verifies it against the SHA-256 in the manifest.
    pub async fn read(storage: &dyn Storage, manifest: &Manifest) -> Result<Self, Error> {
        let path = BackupPaths::new(&manifest.stanza, &manifest.label)?.file_list()?;
        let object = metadata::object_name(storage, &path);
        let max = limits::stored_max(manifest.totals.files);
        let data = metadata::read_verified(storage, &path, manifest.file_list, max).await?;
        Self::decode(data, &object, &manifest.totals).await
    }

    /// The list that the stored bytes of `object` are, of a backup with these totals.
    pub async fn decode(data: Bytes, object: &str, totals: &Totals) -> Result<Self, Error> {
        decode::Decoding::new(data, object, totals)?.finish().await
    }
}

mod hex_digest {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    use crate::types::BlockDigest;

    pub(super) fn serialize<S: Serializer>(digest: &BlockDigest, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&hex::encode(digest.0))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<BlockDigest, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        let mut bytes = [0; BlockDigest::LEN];
        hex::decode_to_slice(text.as_bytes(), &mut bytes).map_err(D::Error::custom)?;
        Ok(BlockDigest(bytes))
    }
}
