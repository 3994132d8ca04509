//! PostgreSQL's own `backup_manifest`, kept byte for byte: pg_verifybackup must accept a restored copy, and the server
//! needs it for an incremental backup. The object is a header and one zstd stream.

use std::io::Read;

use bytes::Bytes;

use super::{
    Error,
    layout::BackupPaths,
    limits,
    manifest::{Manifest, ObjectRecord},
    metadata,
    object_header::{HEADER_LEN, ObjectHeader, ObjectKind},
    object_writer::ObjectWriter,
};
use crate::{storage::Storage, types::CompressType, work};

const LEVEL: i32 = 3;
/// Raw bytes that are decompressed between two yields, so that a signal can end the command.
const STEP: u64 = 4 << 20;

pub async fn write(
    storage: &dyn Storage,
    paths: &BackupPaths,
    backup_manifest: &Bytes,
) -> Result<ObjectRecord, Error> {
    let path = paths.backup_manifest()?;
    let raw = backup_manifest.clone();
    // With millions of files this takes seconds, and signals must be handled meanwhile.
    let compressing = work::blocking(move || zstd::bulk::compress(&raw, LEVEL));
    let stored =
        compressing.await?.map_err(|error| Error::format(path.as_str(), error.to_string()))?;
    let header = ObjectHeader::new(ObjectKind::BackupManifest, CompressType::Zst);
    let mut object = ObjectWriter::new(storage.put_stream(&path).await?, header).await?;
    object.write(stored.into()).await?;
    object.finish().await
}

/// Reads the `backup_manifest` of a backup and verifies it against the SHA-256 in our manifest.
pub async fn read(storage: &dyn Storage, manifest: &Manifest) -> Result<Vec<u8>, Error> {
    let path = BackupPaths::new(&manifest.stanza, &manifest.label)?.backup_manifest()?;
    let object = metadata::object_name(storage, &path);
    let (files, record) = (manifest.totals.files, manifest.backup_manifest);
    let max = limits::stored_max(files);
    let data = metadata::read_verified(storage, &path, record, max).await?;
    decode(&data, &object, files).await
}

/// Decodes the stored bytes of `object`, of a backup with this number of files.
pub async fn decode(data: &[u8], object: &str, files: u64) -> Result<Vec<u8>, Error> {
    decompress(data, object, limits::raw_max(files, data.len() as u64)).await
}

async fn decompress(data: &[u8], object: &str, raw_max: u64) -> Result<Vec<u8>, Error> {
    let header = ObjectHeader::decode(data, ObjectKind::BackupManifest, object)?;
    if header.compress != CompressType::Zst {
        return Err(Error::format(object, "a backup_manifest is compressed with zst"));
    }
    let failed = |error: std::io::Error| Error::format(object, error.to_string());
    let mut decoder = zstd::stream::read::Decoder::new(&data[HEADER_LEN..]).map_err(failed)?;
    let mut raw = Vec::new();
    while decoder.by_ref().take(STEP).read_to_end(&mut raw).map_err(failed)? > 0 {
        limits::check(object, "its raw size", raw.len() as u64, raw_max)?;
        tokio::task::yield_now().await;
    }
    Ok(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(raw: &[u8]) -> Vec<u8> {
        let header = ObjectHeader::new(ObjectKind::BackupManifest, CompressType::Zst);
        [&header.encode()[..], &zstd::bulk::compress(raw, LEVEL).unwrap()].concat()
    }

    #[tokio::test]
    async fn more_than_there_can_be_is_refused_while_it_is_decompressed() {
        let raw = vec![b' '; 64 << 20];
        let data = stored(&raw);
        let max = limits::raw_max(3, data.len() as u64);
        assert!(max < 32 << 20, "{max}");
        let refused = decompress(&data, "m", max).await.unwrap_err().to_string();
        assert!(refused.contains("its raw size is"), "{refused}");
        assert_eq!(decompress(&data, "m", 64 << 20).await.unwrap(), raw);
    }
}
