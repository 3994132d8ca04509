//! The [`Storage`] made of a [`BucketApi`].

use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    super::{
        Download, Entry, EntryKind, Error, ErrorKind, ObjectPath, Result, Storage, Upload,
        requests::Requests,
    },
    BucketApi, download, list,
    objects::Objects,
    upload,
};

/// Deletes of many objects each that are under way at a time.
const BATCHES_AT_ONCE: usize = 8;
/// Deletes of an object each that wait for their turn. How many are under way, the limit of all requests says.
const DELETES_AT_ONCE: usize = 1000;

/// A repository under a prefix of a bucket.
#[derive(Clone, Debug)]
pub struct BucketStorage {
    pub(super) objects: Arc<Objects>,
}

impl BucketStorage {
    /// The objects below `prefix`, a path with or without the `/` it begins with.
    pub fn new(api: impl BucketApi, prefix: &str, requests: Requests) -> Self {
        Self { objects: Arc::new(Objects::new(Box::new(api), prefix, requests)) }
    }
}

#[async_trait]
impl Storage for BucketStorage {
    fn location(&self) -> String {
        self.objects.location()
    }

    fn is_far(&self) -> bool {
        true
    }

    async fn put(&self, path: &ObjectPath, data: Bytes) -> Result<()> {
        self.objects.create(&self.objects.key(path), data).await
    }

    async fn put_stream(&self, path: &ObjectPath) -> Result<Box<dyn Upload>> {
        Ok(Box::new(upload::BucketUpload::new(self.objects.clone(), self.objects.key(path))))
    }

    async fn get(&self, path: &ObjectPath) -> Result<Box<dyn Download>> {
        let key = self.objects.key(path);
        Ok(Box::new(download::BucketDownload::open(self.objects.clone(), key).await?))
    }

    async fn get_range(&self, path: &ObjectPath, range: Range<u64>) -> Result<Bytes> {
        let key = self.objects.key(path);
        if range.start < range.end {
            return self.objects.read(&key, range).await;
        }
        match self.objects.head("read", &key).await?.size < range.end {
            true => Err(Error::new(ErrorKind::Truncated, "read", self.objects.name(&key))),
            false => Ok(Bytes::new()),
        }
    }

    async fn stat(&self, path: &ObjectPath) -> Result<Entry> {
        let found = self.objects.head("look at", &self.objects.key(path)).await?;
        let kind = EntryKind::Object { size: found.size };
        Ok(Entry { path: path.clone(), kind, modified: found.modified })
    }

    async fn list(&self, directory: &ObjectPath, recurse: bool) -> Result<Vec<Entry>> {
        list::below(&self.objects, directory, recurse).await
    }

    async fn list_prefix(&self, directory: &ObjectPath, prefix: &str) -> Result<Vec<Entry>> {
        list::with_prefix(&self.objects, directory, prefix).await
    }

    async fn delete(&self, paths: &[ObjectPath]) -> Result<()> {
        let objects = &self.objects;
        let keys: Vec<String> = paths.iter().map(|path| objects.key(path)).collect();
        let batch_max = objects.api.traits().delete_max.max(1);
        let at_once = if batch_max == 1 { DELETES_AT_ONCE } else { BATCHES_AT_ONCE };
        let batches: Vec<&[String]> = keys.chunks(batch_max).collect();
        let delete = |batch: &'_ [String]| {
            let batch = batch.to_vec();
            async move {
                let name = objects.name(batch.first().map_or("", String::as_str));
                objects.requests.run("delete", &name, 0, || objects.api.delete(&batch)).await
            }
        };
        let requests = stream::iter(batches.into_iter().map(delete));
        requests.buffer_unordered(at_once).try_collect().await
    }

    async fn remove_stale(&self, directory: &ObjectPath, older_than: Duration) -> Result<u64> {
        let objects = &self.objects;
        let prefix = list::directory_key(objects, directory);
        let name = objects.name(&prefix);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let before = now.unwrap_or_default().saturating_sub(older_than).as_secs() as i64;
        let (mut removed, mut after) = (0, None);
        loop {
            let list = || objects.api.unfinished(&prefix, after.clone());
            let page = objects.requests.run("list", &name, 0, list).await?;
            for stale in page.uploads.iter().filter(|upload| upload.begun <= before) {
                let abort = || objects.api.abort_parts(&stale.key, &stale.upload);
                objects.requests.run("delete", &objects.name(&stale.key), 0, abort).await?;
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
