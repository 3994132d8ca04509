//! A storage decorator that encrypts every object except the key objects. Its callers see plain objects and plain sizes,
//! the store below sees neither.
//!
//! The data key is unwrapped when the first object is encrypted or decrypted, because the key derivation is expensive.

mod cipher_cache;
mod download;
mod keyring;
mod range;
mod refusal;
#[cfg(test)]
mod tests;
mod upload;

use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use self::{cipher_cache::CipherCache, download::EncryptedDownload, upload::EncryptedUpload};
use super::{layout::KEY_ROOT, recipient::PassPhrase};
use crate::{
    codec::{
        self,
        encrypt::{
            CHUNK_LEN, CipherHeader, DataKey, ObjectCipher, chunk_count, plain_size_at_most,
            stored_size,
        },
    },
    storage::{
        Download, Entry, EntryKind, Error, ErrorKind, Listing, ObjectPath, Result, Storage, Upload,
    },
};

pub use keyring::Keyring;
pub use refusal::Refusal;

/// Chunks that are encrypted between two yields: well below a millisecond of work.
const CHUNKS_AT_ONCE: u64 = 64;

#[derive(Clone, Debug)]
pub struct EncryptedStorage {
    inner: Arc<dyn Storage>,
    keyring: Arc<Keyring>,
    ciphers: Arc<CipherCache>,
}

impl EncryptedStorage {
    /// The repository in `inner`, whose data key `pass` unlocks.
    pub fn new(inner: Arc<dyn Storage>, pass: PassPhrase) -> Self {
        Self::with_keyring(inner.clone(), Keyring::new(inner, pass))
    }

    /// Objects in `inner` that are encrypted with `key`, which is not stored in a key object.
    pub fn with_key(inner: Arc<dyn Storage>, key: DataKey) -> Self {
        Self::with_keyring(inner.clone(), Keyring::with_key(inner, key))
    }

    fn with_keyring(inner: Arc<dyn Storage>, keyring: Keyring) -> Self {
        Self { inner, keyring: Arc::new(keyring), ciphers: Arc::default() }
    }

    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    fn name(&self, path: &ObjectPath) -> String {
        format!("{}/{path}", self.inner.location())
    }

    async fn new_cipher(&self, path: &ObjectPath) -> Result<ObjectCipher> {
        let key = self.keyring.data_key().await?;
        let cipher = CipherHeader::new(key.id())
            .and_then(|header| ObjectCipher::new(&key, &header, path.as_str()));
        cipher.map_err(|error| failed("write", self.name(path), error))
    }

    /// The cipher of an object that begins with `header`.
    async fn cipher(&self, path: &ObjectPath, header: &[u8]) -> Result<ObjectCipher> {
        // The key first: if the repository has none, it is not encrypted, which is a better error than a header without
        // the magic.
        let key = self.keyring.data_key().await?;
        let cipher = CipherHeader::decode(header)
            .and_then(|header| ObjectCipher::new(&key, &header, path.as_str()));
        cipher.map_err(|error| failed("read", self.name(path), error))
    }

    /// Translates an entry of the store below: plain size for stored size.
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

/// Key objects are not encrypted: they are needed to decrypt all others.
fn is_key(path: &ObjectPath) -> bool {
    path.as_str().strip_prefix(KEY_ROOT).is_some_and(|rest| rest.starts_with('/'))
}

/// Adds the object and the error kind to an error of the cipher.
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
        if is_key(path) {
            self.inner.get_range(path, range).await
        } else {
            range::read(self, path, range).await
        }
    }

    async fn stat(&self, path: &ObjectPath) -> Result<Entry> {
        Ok(self.plain(self.inner.stat(path).await?))
    }

    async fn list(&self, directory: &ObjectPath, recurse: bool) -> Result<Vec<Entry>> {
        Ok(self.all_plain(self.inner.list(directory, recurse).await?))
    }

    async fn list_and_links(&self, directory: &ObjectPath, recurse: bool) -> Result<Listing> {
        let Listing { entries, links } = self.inner.list_and_links(directory, recurse).await?;
        Ok(Listing { entries: self.all_plain(entries), links })
    }

    async fn list_prefix(&self, directory: &ObjectPath, prefix: &str) -> Result<Vec<Entry>> {
        Ok(self.all_plain(self.inner.list_prefix(directory, prefix).await?))
    }

    async fn delete(&self, paths: &[ObjectPath]) -> Result<()> {
        self.ciphers.forget(paths);
        self.inner.delete(paths).await
    }

    async fn remove_stale(&self, directory: &ObjectPath, older_than: Duration) -> Result<u64> {
        self.inner.remove_stale(directory, older_than).await
    }
}
