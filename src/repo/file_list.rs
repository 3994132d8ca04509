//! The file list of a backup: a line of JSON for every entry of the data directory in the order they
//! were stored, then a line for every object of the backup. One zstd stream, so a million files take
//! a few tens of MiB, and it is written and read without holding its text in memory.

mod decode;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    Error,
    layout::BackupPaths,
    limits,
    manifest::{Manifest, ObjectRecord},
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

/// An entry of the data directory. Files of a tablespace are named through its link in `pg_tblspc`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// The path from the data directory.
    pub path: DataPath,
    /// What it is.
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
    /// Of a file or directory that is a symbolic link on the server: where the link points, in the form of
    /// [`EntryKind::Link`]. The content is that of the link's destination, under the path of the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// File, directory or link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum EntryKind {
    /// A file.
    File {
        /// Its size in bytes.
        size: u64,
        /// Where its block map is; an empty file has none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        map: Option<MapRef>,
        /// Where the map is a patch: what it is a patch to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base: Option<BaseRef>,
    },
    /// A directory.
    Dir,
    /// A symbolic link: of a tablespace, or to another entry of the data directory.
    Link {
        /// Where it points; bytes that are not UTF-8 are written `%XX`.
        target: String,
    },
}

/// Where the block map of a file is, and the digest that proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapRef {
    /// 0 where this backup holds it, n where the n-th of the manifest's references does.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reference: u32,
    /// The number of the map bundle.
    pub bundle: u32,
    /// The offset of the map in it, in bytes.
    pub offset: u64,
    /// The length of the map in bytes.
    pub len: u32,
    /// The keyed digest of the map's bytes, as hexadecimal digits.
    #[serde(with = "hex_digest")]
    pub digest: BlockDigest,
}

/// A whole block map that a patch refers to. It is never a patch itself, so a map is at most two pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseRef {
    /// Where it is.
    #[serde(flatten)]
    pub map: MapRef,
    /// The size of the file that it is the map of, in bytes.
    pub size: u64,
}

/// The block map of a file, in one piece or two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapPlace {
    /// Where the map, or the patch, is.
    pub map: MapRef,
    /// Where it is a patch: what it is a patch to.
    pub base: Option<BaseRef>,
}

impl MapRef {
    /// The offset of the first byte behind the map.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.len.into())
    }
}

impl FileEntry {
    /// The size of a file in bytes; 0 for anything else.
    pub fn size(&self) -> u64 {
        match self.kind {
            EntryKind::File { size, .. } => size,
            EntryKind::Dir | EntryKind::Link { .. } => 0,
        }
    }

    /// Where the block map is; `None` for an empty file, and for what is no file.
    pub fn map_place(&self) -> Option<MapPlace> {
        match self.kind {
            EntryKind::File { map: Some(map), base, .. } => Some(MapPlace { map, base }),
            _ => None,
        }
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A bundle of this backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleRecord {
    /// Whether it holds frames or block maps.
    pub bundle: BundleKind,
    /// Its number.
    pub number: u32,
    /// What its bytes must be.
    #[serde(flatten)]
    pub record: ObjectRecord,
}

/// What a bundle holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BundleKind {
    /// Frames of file data.
    Data,
    /// Block maps.
    Map,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Bundle(BundleRecord),
    File(FileEntry),
}

/// The whole list; its memory grows with the number of files.
#[derive(Debug, Default)]
pub struct FileList {
    /// The entries of the data directory, in the order they were stored.
    pub files: Vec<FileEntry>,
    /// The bundles of this backup.
    pub bundles: Vec<BundleRecord>,
}

/// Writes a file list as its entries become known.
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
    /// Starts the file list of a backup.
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

    /// Appends an entry of the data directory.
    pub async fn file(&mut self, entry: &FileEntry) -> Result<(), Error> {
        self.line(entry).await
    }

    /// Appends a bundle.
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

    /// Completes the list and makes it durable.
    pub async fn finish(mut self) -> Result<ObjectRecord, Error> {
        let rest = self.encoder.finish().map_err(|e| Error::format(&self.name, e.to_string()))?;
        self.object.write(rest.into()).await?;
        self.object.finish().await
    }
}

impl FileList {
    /// Reads the file list of a backup and holds it against the SHA-256 in the manifest.
    pub async fn read(storage: &dyn Storage, manifest: &Manifest) -> Result<Self, Error> {
        let path = BackupPaths::new(&manifest.stanza, &manifest.label)?.file_list()?;
        let object = metadata::object_name(storage, &path);
        let max = limits::stored_max(&manifest.totals);
        let data = metadata::read_verified(storage, &path, manifest.file_list, max).await?;
        decode::Decoding::new(data, &object, &manifest.totals)?.finish().await
    }

    /// The list that these bytes are, of a backup without a manifest.
    #[cfg(test)]
    pub(crate) async fn decode(
        data: bytes::Bytes,
        totals: &super::manifest::Totals,
    ) -> Result<Self, Error> {
        decode::Decoding::new(data, "files", totals)?.finish().await
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
