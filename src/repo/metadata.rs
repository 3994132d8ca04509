//! Small objects that verify themselves: header, body, and the SHA-256 of both at the end.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Error, limits,
    object_header::{HEADER_LEN, ObjectHeader, ObjectKind},
    object_record::ObjectRecord,
};
use crate::{
    codec::Sha256Hasher,
    storage::{self, ErrorKind, ObjectPath, Storage},
    types::{CompressType, Sha256},
};

pub(super) const TRAILER_LEN: usize = 32;
/// Bytes that are allocated before the first byte of an object arrived.
const RESERVED_MAX: usize = 1 << 20;

/// Creates the object and returns its record.
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

/// Reads and verifies an object of at most `size_max` bytes; returns the body.
pub async fn read(
    storage: &dyn Storage,
    path: &ObjectPath,
    kind: ObjectKind,
    size_max: usize,
) -> Result<Bytes, Error> {
    let object = object_name(storage, path);
    unframe(kind, read_whole(storage, path, size_max).await?, &object)
}

/// Reads and verifies an object of any kind; returns the kind.
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

/// Reads and verifies an object of any kind; returns it as it is stored.
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

/// Reads an object of at most `size_max` bytes and verifies it against `record`; returns it with its header.
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
    if data.len() == size && sha256.finish() == record.sha256 {
        Ok(data)
    } else {
        Err(Error::Damaged { object, what: "SHA-256" })
    }
}

/// The object's name in errors: location and path.
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

/// Reads an object of at most `size_max` bytes and passes each chunk to `see`.
async fn collect(
    storage: &dyn Storage,
    path: &ObjectPath,
    size_max: usize,
    mut see: impl FnMut(&[u8]),
) -> Result<Bytes, Error> {
    let mut download = storage.get(path).await?;
    let object = || object_name(storage, path);
    if download.size() > size_max as u64 {
        return Err(Error::format(object(), "it is larger than an object of its kind can be"));
    }
    // The store may report any size: memory is allocated as bytes arrive.
    let mut data = Vec::with_capacity((download.size() as usize).min(RESERVED_MAX));
    while let Some(chunk) = download.next().await? {
        if data.len() + chunk.len() > size_max {
            return Err(Error::format(object(), "it is larger than an object of its kind can be"));
        }
        see(&chunk);
        data.extend_from_slice(&chunk);
        tokio::task::yield_now().await;
    }
    if data.len() as u64 == download.size() {
        Ok(data.into())
    } else {
        Err(storage::Error::new(ErrorKind::Truncated, "read", object()).into())
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
    if proven.0 == data[end..] {
        Ok(data.slice(HEADER_LEN..end))
    } else {
        Err(Error::Damaged { object: object.to_owned(), what: "SHA-256" })
    }
}

pub fn to_json<T: Serialize>(value: &T, object: &str) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| Error::format(object, error.to_string()))
}

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
        assert!(
            refused.to_string().contains("larger than an object of its kind can be"),
            "{refused}"
        );
    }
}
