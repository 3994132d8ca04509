//! Symbolic links in a repository. They are never followed, and other commands fail on a listing with a link, so that no
//! object looks absent. `verify` must continue: it treats a link as an object that cannot be read.

use std::{
    collections::BTreeSet,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{FaultKind, findings::Findings};
use crate::storage::{Download, Entry, EntryKind, Listing, ObjectPath, Result, Storage, Upload};

const LINK: &str =
    "it is a symbolic link, which is not followed in a repository: what is behind it is not seen";
const HINT: &str = "move what it points to here, or mount it here, and verify again";

/// A store that lists links as objects and collects them.
#[derive(Debug)]
pub(super) struct LinksListed {
    inner: Arc<dyn Storage>,
    links: Mutex<BTreeSet<ObjectPath>>,
}

impl LinksListed {
    pub(super) fn new(inner: Arc<dyn Storage>) -> Self {
        Self { inner, links: Mutex::default() }
    }

    /// Reports the links that were listed.
    pub(super) fn report(&self, findings: &mut Findings) {
        for link in &*self.links.lock().unwrap_or_else(PoisonError::into_inner) {
            // Whether an object belongs to a backup is unknown if it cannot be read.
            findings.forget(link.as_str(), FaultKind::Orphan);
            let fault = findings.add(link.as_str(), FaultKind::Unreadable, LINK);
            LINK.clone_into(&mut fault.what);
            HINT.clone_into(&mut fault.hint);
        }
    }

    fn with_links(&self, listing: Listing) -> Vec<Entry> {
        let Listing { mut entries, links } = listing;
        if links.is_empty() {
            return entries;
        }
        let kind = EntryKind::Object { size: 0 };
        entries.extend(links.iter().map(|path| Entry { path: path.clone(), kind, modified: None }));
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        self.links.lock().unwrap_or_else(PoisonError::into_inner).extend(links);
        entries
    }
}

#[async_trait]
impl Storage for LinksListed {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn is_far(&self) -> bool {
        self.inner.is_far()
    }

    async fn put(&self, path: &ObjectPath, data: Bytes) -> Result<()> {
        self.inner.put(path, data).await
    }

    async fn put_stream(&self, path: &ObjectPath) -> Result<Box<dyn Upload>> {
        self.inner.put_stream(path).await
    }

    async fn get(&self, path: &ObjectPath) -> Result<Box<dyn Download>> {
        self.inner.get(path).await
    }

    async fn get_range(&self, path: &ObjectPath, range: Range<u64>) -> Result<Bytes> {
        self.inner.get_range(path, range).await
    }

    async fn stat(&self, path: &ObjectPath) -> Result<Entry> {
        self.inner.stat(path).await
    }

    async fn list(&self, directory: &ObjectPath, recurse: bool) -> Result<Vec<Entry>> {
        Ok(self.with_links(self.inner.list_and_links(directory, recurse).await?))
    }

    async fn list_prefix(&self, directory: &ObjectPath, prefix: &str) -> Result<Vec<Entry>> {
        self.inner.list_prefix(directory, prefix).await
    }

    async fn delete(&self, paths: &[ObjectPath]) -> Result<()> {
        self.inner.delete(paths).await
    }
}
