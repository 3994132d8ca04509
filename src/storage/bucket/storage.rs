//! The [`Storage`] made of a [`BucketApi`].

use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    super::{
        Download, Entry, EntryKind, Error, ErrorKind, ObjectPath, Result, Storage, Upload,
        requests::Requests,
    },
    BucketApi, CreateOnly, download,
    guard::Guard,
    list, upload,
};

/// Deletes under way at a time.
const DELETES_AT_ONCE: usize = 8;

/// A repository under a prefix of a bucket.
#[derive(Clone, Debug)]
pub struct BucketStorage {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) api: Box<dyn BucketApi>,
    pub(super) requests: Requests,
    /// Empty, or with a `/` at its end.
    prefix: String,
    put_guard: Guard,
    complete_guard: Guard,
}

impl BucketStorage {
    /// The objects below `prefix`, a path with or without the `/` it begins with.
    pub fn new(api: impl BucketApi, prefix: &str, requests: Requests) -> Self {
        let trimmed = prefix.trim_matches('/');
        let prefix = if trimmed.is_empty() { String::new() } else { format!("{trimmed}/") };
        let traits = api.traits();
        let inner = Inner {
            api: Box::new(api),
            requests,
            prefix,
            put_guard: Guard::new(traits.put),
            complete_guard: Guard::new(traits.complete),
        };
        Self { inner: Arc::new(inner) }
    }
}

impl Inner {
    pub(super) fn key(&self, path: &ObjectPath) -> String {
        format!("{}{path}", self.prefix)
    }

    /// The path of a key, if it is one that this program could have made.
    pub(super) fn path(&self, key: &str) -> Option<ObjectPath> {
        ObjectPath::new(key.strip_prefix(&self.prefix)?).ok()
    }

    pub(super) fn name(&self, key: &str) -> String {
        format!("{}/{key}", self.api.location())
    }

    /// Creates an object from bytes at hand, under a name that must be free.
    pub(super) async fn create(&self, key: &str, data: Bytes) -> Result<()> {
        self.put(key, &data).await?;
        match self.put_guard.asks_for_proof(data.len()) {
            true => self.probe(key, data).await,
            false => Ok(()),
        }
    }

    /// An answer may be lost: an attempt after the first that finds the name taken looks whether it was taken by the
    /// one before.
    async fn put(&self, key: &str, data: &Bytes) -> Result<()> {
        let mut attempts = 0;
        let name = self.name(key);
        let put = || {
            attempts += 1;
            async {
                self.may_create(&self.put_guard, key).await?;
                self.api.put(key, data.clone()).await
            }
        };
        match self.requests.run("write", &name, data.len() as u64, put).await {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && attempts > 1 => {
                match self.holds(key, data).await? {
                    true => Ok(()),
                    false => Err(error),
                }
            }
            done => done,
        }
    }

    /// Finds out whether the server creates only. See [`guard`].
    async fn probe(&self, key: &str, data: Bytes) -> Result<()> {
        let name = self.name(key);
        let bytes = data.len() as u64;
        let again = self.requests.run("write", &name, bytes, || self.api.put(key, data.clone()));
        let known = match again.await {
            Ok(()) => {
                tracing::debug!("{} overwrites: names are looked at first", self.api.location());
                CreateOnly::NotKept
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => CreateOnly::Kept,
            Err(error) => return Err(error),
        };
        self.put_guard.learn(known);
        if self.complete_guard.known() == CreateOnly::Unknown {
            self.complete_guard.learn(known);
        }
        Ok(())
    }

    async fn holds(&self, key: &str, data: &Bytes) -> Result<bool> {
        let whole = 0..data.len() as u64;
        let same = self.size(key).await? == Some(whole.end);
        Ok(same && (whole.is_empty() || self.read(key, whole).await? == *data))
    }

    /// The size of an object, if there is one.
    pub(super) async fn size(&self, key: &str) -> Result<Option<u64>> {
        match self.head("look at", key).await {
            Ok(found) => Ok(Some(found.size)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Before an upload in parts is completed.
    pub(super) async fn may_complete(&self, key: &str) -> Result<()> {
        self.may_create(&self.complete_guard, key).await
    }

    /// Part of every attempt on a server that may overwrite: what was free before the one before may have been taken
    /// since. `AlreadyExists` unless there is proof that the name is free.
    async fn may_create(&self, guard: &Guard, key: &str) -> Result<()> {
        if guard.known() == CreateOnly::Kept {
            return Ok(());
        }
        match self.api.head(key).await {
            Ok(_) => Err(Error::new(ErrorKind::AlreadyExists, "write", self.name(key))),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn head(&self, operation: &'static str, key: &str) -> Result<super::Found> {
        self.requests.run(operation, &self.name(key), 0, || self.api.head(key)).await
    }

    pub(super) async fn read(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        let name = self.name(key);
        let bytes = range.end - range.start;
        let read = || self.read_once(key, &name, range.clone());
        self.requests.run("read", &name, bytes, read).await
    }

    async fn read_once(&self, key: &str, name: &str, range: Range<u64>) -> Result<Bytes> {
        let wanted = (range.end - range.start) as usize;
        let mut body = self.api.get(key, Some(range.clone())).await?;
        if body.size < range.end {
            return Err(Error::new(ErrorKind::Truncated, "read", name));
        }
        let mut bytes = BytesMut::with_capacity(wanted);
        while let Some(chunk) = body.bytes.next().await {
            let chunk = chunk?;
            if chunk.len() > wanted - bytes.len() {
                return Err(Error::new(ErrorKind::Other, "read", name)
                    .caused_by("more bytes came than were asked for"));
            }
            // One chunk that is all there is needs no copy.
            if bytes.is_empty() && chunk.len() == wanted {
                return Ok(chunk);
            }
            bytes.extend_from_slice(&chunk);
        }
        match bytes.len() == wanted {
            true => Ok(bytes.freeze()),
            false => Err(Error::new(ErrorKind::Transient, "read", name)
                .caused_by(format!("{} of {wanted} bytes came", bytes.len()))),
        }
    }
}

#[async_trait]
impl Storage for BucketStorage {
    fn location(&self) -> String {
        self.inner.name(self.inner.prefix.trim_end_matches('/')).trim_end_matches('/').to_owned()
    }

    fn is_far(&self) -> bool {
        true
    }

    async fn put(&self, path: &ObjectPath, data: Bytes) -> Result<()> {
        self.inner.create(&self.inner.key(path), data).await
    }

    async fn put_stream(&self, path: &ObjectPath) -> Result<Box<dyn Upload>> {
        Ok(Box::new(upload::BucketUpload::new(self.inner.clone(), self.inner.key(path))))
    }

    async fn get(&self, path: &ObjectPath) -> Result<Box<dyn Download>> {
        let key = self.inner.key(path);
        Ok(Box::new(download::BucketDownload::open(self.inner.clone(), key).await?))
    }

    async fn get_range(&self, path: &ObjectPath, range: Range<u64>) -> Result<Bytes> {
        let key = self.inner.key(path);
        if range.start < range.end {
            return self.inner.read(&key, range).await;
        }
        match self.inner.head("read", &key).await?.size < range.end {
            true => Err(Error::new(ErrorKind::Truncated, "read", self.inner.name(&key))),
            false => Ok(Bytes::new()),
        }
    }

    async fn stat(&self, path: &ObjectPath) -> Result<Entry> {
        let found = self.inner.head("look at", &self.inner.key(path)).await?;
        let kind = EntryKind::Object { size: found.size };
        Ok(Entry { path: path.clone(), kind, modified: found.modified })
    }

    async fn list(&self, directory: &ObjectPath, recurse: bool) -> Result<Vec<Entry>> {
        list::below(&self.inner, directory, recurse).await
    }

    async fn list_prefix(&self, directory: &ObjectPath, prefix: &str) -> Result<Vec<Entry>> {
        list::with_prefix(&self.inner, directory, prefix).await
    }

    async fn delete(&self, paths: &[ObjectPath]) -> Result<()> {
        let inner = &self.inner;
        let keys: Vec<String> = paths.iter().map(|path| inner.key(path)).collect();
        let batches: Vec<&[String]> = keys.chunks(inner.api.traits().delete_max.max(1)).collect();
        let delete = |batch: &'_ [String]| {
            let batch = batch.to_vec();
            async move {
                let name = inner.name(batch.first().map_or("", String::as_str));
                inner.requests.run("delete", &name, 0, || inner.api.delete(&batch)).await
            }
        };
        let requests = stream::iter(batches.into_iter().map(delete));
        requests.buffer_unordered(DELETES_AT_ONCE).try_collect().await
    }

    async fn remove_stale(&self, directory: &ObjectPath, older_than: Duration) -> Result<u64> {
        let inner = &self.inner;
        let prefix = list::directory_key(inner, directory);
        let name = inner.name(&prefix);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let before = now.unwrap_or_default().saturating_sub(older_than).as_secs() as i64;
        let (mut removed, mut after) = (0, None);
        loop {
            let list = || inner.api.unfinished(&prefix, after.clone());
            let page = inner.requests.run("list", &name, 0, list).await?;
            for stale in page.uploads.iter().filter(|upload| upload.begun <= before) {
                let abort = || inner.api.abort_parts(&stale.key, &stale.upload);
                inner.requests.run("delete", &inner.name(&stale.key), 0, abort).await?;
                removed += 1;
            }
            // A store that does not get on lists no more of them: what is left does no harm but cost.
            if page.next.is_none() || page.next == after {
                return Ok(removed);
            }
            after = page.next;
        }
    }
}
