//! PostgreSQL's own `backup_manifest`, kept byte for byte: a restored copy must be one that
//! pg_verifybackup accepts, and an incremental backup of the server needs it again. The object is a
//! header and one zstd stream.

use std::io::Read;

use bytes::Bytes;

use super::{
    Error,
    layout::BackupPaths,
    manifest::{Manifest, ObjectRecord},
    metadata,
    object_header::{HEADER_LEN, ObjectHeader, ObjectKind},
    object_writer::ObjectWriter,
};
use crate::{storage::Storage, types::CompressType};

const LEVEL: i32 = 3;
/// The greatest manifest that is read, in raw bytes: PostgreSQL writes about 150 a file.
const RAW_MAX: u64 = 2 << 30;

/// Stores the manifest that came with a backup.
pub async fn write(
    storage: &dyn Storage,
    paths: &BackupPaths,
    backup_manifest: &Bytes,
) -> Result<ObjectRecord, Error> {
    let path = paths.backup_manifest()?;
    let stored = zstd::bulk::compress(backup_manifest, LEVEL)
        .map_err(|error| Error::format(path.as_str(), error.to_string()))?;
    let header = ObjectHeader::new(ObjectKind::BackupManifest, CompressType::Zst);
    let mut object = ObjectWriter::new(storage.put_stream(&path).await?, header).await?;
    object.write(stored.into()).await?;
    object.finish().await
}

/// Reads the manifest of a backup and holds it against the SHA-256 in ours.
pub async fn read(storage: &dyn Storage, manifest: &Manifest) -> Result<Vec<u8>, Error> {
    let path = BackupPaths::new(&manifest.stanza, &manifest.label)?.backup_manifest()?;
    let object = metadata::object_name(storage, &path);
    let data = metadata::read_verified(storage, &path, manifest.backup_manifest).await?;
    let header = ObjectHeader::decode(&data, ObjectKind::BackupManifest, &object)?;
    if header.compress != CompressType::Zst {
        return Err(Error::format(object, "a backup_manifest is compressed with zst"));
    }
    let failed = |error: std::io::Error| Error::format(&object, error.to_string());
    let decoder = zstd::stream::read::Decoder::new(&data[HEADER_LEN..]).map_err(failed)?;
    let mut raw = Vec::new();
    decoder.take(RAW_MAX + 1).read_to_end(&mut raw).map_err(failed)?;
    match raw.len() as u64 <= RAW_MAX {
        true => Ok(raw),
        false => Err(Error::format(object, "it is larger than such an object can be")),
    }
}
