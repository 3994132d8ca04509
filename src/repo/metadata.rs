//! Small objects that carry their own proof: header, body, and the SHA-256 of both at the end.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Error, limits,
    manifest::ObjectRecord,
    object_header::{HEADER_LEN, ObjectHeader, ObjectKind},
};
use crate::{
    codec::Sha256Hasher,
    storage::{self, ErrorKind, ObjectPath, Storage},
    types::{CompressType, Sha256},
};

pub(super) const TRAILER_LEN: usize = 32;
/// Memory that is reserved before the first byte of an object has come, in bytes.
const RESERVED_MAX: usize = 1 << 20;

/// Creates the object; the record says what its bytes are.
pub async fn write(
    storage: &dyn Storage,
    path: &ObjectPath,
    kind: ObjectKind,
    body: &[u8],
) -> Result<ObjectRecord, Error> {
    let data = frame(kind, body);
    let record = ObjectRecord { size: data.len() as u64, sha256: Sha256Hasher::digest(&data) };
    storage.put(path, data).await?;
    Ok(record)
}

/// Reads the object, at most `size_max` bytes of it, and returns the body once it is proven.
pub async fn read(
    storage: &dyn Storage,
    path: &ObjectPath,
    kind: ObjectKind,
    size_max: usize,
) -> Result<Bytes, Error> {
    let object = object_name(storage, path);
    unframe(kind, read_whole(storage, path, size_max).await?, &object)
}

/// Reads the object, whatever kind it is, and proves it by its own SHA-256.
pub async fn prove(
    storage: &dyn Storage,
    path: &ObjectPath,
    size_max: usize,
) -> Result<ObjectKind, Error> {
    let object = object_name(storage, path);
    let data = read_whole(storage, path, size_max).await?;
    let kind = ObjectHeader::decode_any(&data, &object)?.kind;
    unframe(kind, data, &object).map(|_| kind)
}

/// Reads the object as it is stored, whatever kind it is, once it is proven by its own SHA-256.
pub async fn read_proven(
    storage: &dyn Storage,
    path: &ObjectPath,
    size_max: usize,
) -> Result<Bytes, Error> {
    let object = object_name(storage, path);
    let data = read_whole(storage, path, size_max).await?;
    let kind = ObjectHeader::decode_any(&data, &object)?.kind;
    unframe(kind, data.clone(), &object).map(|_| data)
}

/// Reads a whole object, which can have at most `size_max` bytes, and compares it with what was recorded of
/// it; returns it with its header.
pub async fn read_verified(
    storage: &dyn Storage,
    path: &ObjectPath,
    record: ObjectRecord,
    size_max: u64,
) -> Result<Bytes, Error> {
    let object = object_name(storage, path);
    limits::check(&object, "its recorded size", record.size, size_max)?;
    let size =
        usize::try_from(record.size).map_err(|_| Error::format(&object, "it is too large"))?;
    let mut sha256 = Sha256Hasher::new();
    let data = collect(storage, path, size, |chunk| sha256.update(chunk)).await?;
    match data.len() == size && sha256.finish() == record.sha256 {
        true => Ok(data),
        false => Err(Error::Damaged { object, what: "SHA-256" }),
    }
}

/// An object as a person would name it in an error.
pub fn object_name(storage: &dyn Storage, path: &ObjectPath) -> String {
    format!("{}/{path}", storage.location())
}

pub(super) async fn read_whole(
    storage: &dyn Storage,
    path: &ObjectPath,
    size_max: usize,
) -> Result<Bytes, Error> {
    collect(storage, path, size_max, |_| {}).await
}

/// Reads an object of at most `size_max` bytes and shows each chunk to `see`.
async fn collect(
    storage: &dyn Storage,
    path: &ObjectPath,
    size_max: usize,
    mut see: impl FnMut(&[u8]),
) -> Result<Bytes, Error> {
    let mut download = storage.get(path).await?;
    let object = || object_name(storage, path);
    if download.size() > size_max as u64 {
        return Err(Error::format(object(), "it is larger than such an object can be"));
    }
    // Memory follows what comes: the size is only what the store says.
    let mut data = Vec::with_capacity((download.size() as usize).min(RESERVED_MAX));
    while let Some(chunk) = download.next().await? {
        if data.len() + chunk.len() > size_max {
            return Err(Error::format(object(), "it is larger than such an object can be"));
        }
        see(&chunk);
        data.extend_from_slice(&chunk);
        tokio::task::yield_now().await;
    }
    match data.len() as u64 == download.size() {
        true => Ok(data.into()),
        false => Err(storage::Error::new(ErrorKind::Truncated, "read", object()).into()),
    }
}

pub(super) fn frame(kind: ObjectKind, body: &[u8]) -> Bytes {
    let header = ObjectHeader::new(kind, CompressType::None);
    let mut data = Vec::with_capacity(HEADER_LEN + body.len() + TRAILER_LEN);
    data.extend_from_slice(&header.encode());
    data.extend_from_slice(body);
    let digest = Sha256Hasher::digest(&data);
    data.extend_from_slice(&digest.0);
    data.into()
}

pub(super) fn unframe(kind: ObjectKind, data: Bytes, object: &str) -> Result<Bytes, Error> {
    ObjectHeader::decode(&data, kind, object)?;
    let end = data.len().checked_sub(TRAILER_LEN).filter(|&end| end >= HEADER_LEN);
    let end = end.ok_or_else(|| Error::format(object, "it is too short"))?;
    let proven: Sha256 = Sha256Hasher::digest(&data[..end]);
    match proven.0 == data[end..] {
        true => Ok(data.slice(HEADER_LEN..end)),
        false => Err(Error::Damaged { object: object.to_owned(), what: "SHA-256" }),
    }
}

/// The JSON form of a value that goes into `object`.
pub fn to_json<T: Serialize>(value: &T, object: &str) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| Error::format(object, error.to_string()))
}

/// The value whose JSON form `object` holds.
pub fn from_json<T: DeserializeOwned>(body: &[u8], object: &str) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|error| Error::format(object, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{storage::PosixStorage, types::Failure};

    /// A sparse object takes no room in the store, and would take all memory of the reader.
    #[tokio::test]
    async fn a_recorded_size_of_tebibytes_takes_no_memory() {
        let dir = tempfile::tempdir().unwrap();
        let storage = PosixStorage::new(dir.path());
        let path = ObjectPath::new("files").unwrap();
        let size = 4 << 40;
        std::fs::File::create(dir.path().join("files")).unwrap().set_len(size).unwrap();
        let record = ObjectRecord { size, sha256: Sha256([0; 32]) };
        let refused = read_verified(&storage, &path, record, 1 << 30).await.unwrap_err();
        assert_eq!(refused.code(), crate::types::ErrorCode::Format);
        assert!(refused.to_string().contains("its recorded size is 4398046511104"), "{refused}");
        let refused = read_whole(&storage, &path, 64 << 20).await.unwrap_err();
        assert!(refused.to_string().contains("larger than such an object can be"), "{refused}");
    }
}
