//! A decorator that encrypts every object but the key objects. What is above it sees plain objects and plain sizes;
//! the store below sees neither.
//!
//! The data key is asked for when the first object has to be encrypted or decrypted, and not before.

mod download;
mod known;
mod lock;
mod range;
mod refusal;
#[cfg(test)]
mod tests;
mod upload;

use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use self::{download::EncryptedDownload, known::KnownObjects, upload::EncryptedUpload};
use super::{layout::KEY_ROOT, recipient::PassPhrase};
use crate::{
    codec::{
        self,
        encrypt::{
            CHUNK_LEN, CipherHeader, DataKey, ObjectCipher, chunk_count, plain_size_at_most,
            stored_size,
        },
    },
    storage::{Download, Entry, EntryKind, Error, ErrorKind, ObjectPath, Result, Storage, Upload},
};

pub use lock::KeyLock;
pub use refusal::Refusal;

/// Chunks that are encrypted before other tasks get a turn: well below a millisecond of work.
const CHUNKS_AT_ONCE: u64 = 64;

/// A repository that is encrypted.
#[derive(Clone, Debug)]
pub struct EncryptedStorage {
    inner: Arc<dyn Storage>,
    lock: Arc<KeyLock>,
    known: Arc<KnownObjects>,
}

impl EncryptedStorage {
    /// The repository in `inner`, whose data key `pass` opens.
    pub fn new(inner: Arc<dyn Storage>, pass: PassPhrase) -> Self {
        Self::with_lock(inner.clone(), KeyLock::new(inner, pass))
    }

    /// Objects in `inner` that are encrypted with a key at hand, which is nowhere stored.
    pub fn with_key(inner: Arc<dyn Storage>, key: DataKey) -> Self {
        Self::with_lock(inner.clone(), KeyLock::opened(inner, key))
    }

    fn with_lock(inner: Arc<dyn Storage>, lock: KeyLock) -> Self {
        Self { inner, lock: Arc::new(lock), known: Arc::default() }
    }

    /// The lock of the repository, with its recipients.
    pub fn lock(&self) -> &KeyLock {
        &self.lock
    }

    fn name(&self, path: &ObjectPath) -> String {
        format!("{}/{path}", self.inner.location())
    }

    /// The cipher of a new object.
    async fn new_cipher(&self, path: &ObjectPath) -> Result<ObjectCipher> {
        let key = self.lock.data_key().await?;
        let cipher = CipherHeader::new(key.id())
            .and_then(|header| ObjectCipher::new(&key, &header, path.as_str()));
        cipher.map_err(|error| failed("write", self.name(path), error))
    }

    /// The cipher of an object that opens with these bytes.
    async fn cipher(&self, path: &ObjectPath, header: &[u8]) -> Result<ObjectCipher> {
        // An object without the magic in a repository without a key: the repository is not encrypted, which is the
        // better thing to say. So the key comes first.
        let key = self.lock.data_key().await?;
        let cipher = CipherHeader::decode(header)
            .and_then(|header| ObjectCipher::new(&key, &header, path.as_str()));
        cipher.map_err(|error| failed("read", self.name(path), error))
    }

    /// What a listing or a look below says, as it is above.
    fn plain(&self, entry: Entry) -> Entry {
        match entry.kind {
            EntryKind::Object { size } if !is_key(&entry.path) => {
                Entry { kind: EntryKind::Object { size: plain_size_at_most(size) }, ..entry }
            }
            _ => entry,
        }
    }

    fn all_plain(&self, entries: Vec<Entry>) -> Vec<Entry> {
        entries.into_iter().map(|entry| self.plain(entry)).collect()
    }
}

/// Key objects are what opens all others.
fn is_key(path: &ObjectPath) -> bool {
    path.as_str().strip_prefix(KEY_ROOT).is_some_and(|rest| rest.starts_with('/'))
}

/// What an error of the cipher means for the object.
fn failed(operation: &'static str, object: String, error: codec::Error) -> Error {
    use codec::Error as E;
    let kind = match error {
        E::NotEncrypted | E::CipherHeader(_) | E::OtherKey { .. } | E::Tampered { .. } => {
            ErrorKind::Damaged
        }
        E::CipherVersion { .. } => {
            let hint = "use the version of the program that wrote it, or a newer one";
            return Error::new(ErrorKind::Other, operation, object)
                .with_code(crate::types::ErrorCode::RepoInvalid)
                .with_hint(hint)
                .caused_by(error);
        }
        _ => {
            return Error::new(ErrorKind::Other, operation, object)
                .with_code(crate::types::ErrorCode::Crypto)
                .caused_by(error);
        }
    };
    Error::new(kind, operation, object).caused_by(error)
}

#[async_trait]
impl Storage for EncryptedStorage {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn is_far(&self) -> bool {
        self.inner.is_far()
    }

    async fn put(&self, path: &ObjectPath, data: Bytes) -> Result<()> {
        if is_key(path) {
            return self.inner.put(path, data).await;
        }
        let cipher = self.new_cipher(path).await?;
        let failed = |error| failed("write", self.name(path), error);
        let mut stored = Vec::with_capacity(stored_size(data.len() as u64) as usize);
        stored.extend_from_slice(cipher.header());
        let count = chunk_count(data.len() as u64);
        for number in 0..count {
            let (from, start) = (number as usize * CHUNK_LEN, stored.len());
            stored.extend_from_slice(&data[from..data.len().min(from + CHUNK_LEN)]);
            cipher.seal(number, number + 1 == count, &mut stored, start).map_err(failed)?;
            if number % CHUNKS_AT_ONCE == CHUNKS_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
        }
        drop(data);
        self.inner.put(path, stored.into()).await
    }

    async fn put_stream(&self, path: &ObjectPath) -> Result<Box<dyn Upload>> {
        if is_key(path) {
            return self.inner.put_stream(path).await;
        }
        let cipher = self.new_cipher(path).await?;
        let inner = self.inner.put_stream(path).await?;
        Ok(Box::new(EncryptedUpload::new(inner, cipher, self.name(path))))
    }

    async fn get(&self, path: &ObjectPath) -> Result<Box<dyn Download>> {
        let inner = self.inner.get(path).await?;
        if is_key(path) {
            return Ok(inner);
        }
        Ok(Box::new(EncryptedDownload::open(self, path, inner).await?))
    }

    async fn get_range(&self, path: &ObjectPath, range: Range<u64>) -> Result<Bytes> {
        match is_key(path) {
            true => self.inner.get_range(path, range).await,
            false => range::read(self, path, range).await,
        }
    }

    async fn stat(&self, path: &ObjectPath) -> Result<Entry> {
        Ok(self.plain(self.inner.stat(path).await?))
    }

    async fn list(&self, directory: &ObjectPath, recurse: bool) -> Result<Vec<Entry>> {
        Ok(self.all_plain(self.inner.list(directory, recurse).await?))
    }

    async fn list_prefix(&self, directory: &ObjectPath, prefix: &str) -> Result<Vec<Entry>> {
        Ok(self.all_plain(self.inner.list_prefix(directory, prefix).await?))
    }

    async fn delete(&self, paths: &[ObjectPath]) -> Result<()> {
        self.known.forget(paths);
        self.inner.delete(paths).await
    }

    async fn remove_stale(&self, directory: &ObjectPath, older_than: Duration) -> Result<u64> {
        self.inner.remove_stale(directory, older_than).await
    }
}
