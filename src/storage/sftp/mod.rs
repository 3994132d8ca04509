//! A directory of another host, reached with SFTP.
//!
//! Objects are files of mode 0640 in directories of mode 0750, as in the posix store, so a repository can be looked at,
//! copied and served by either. What the protocol does not promise is made of what OpenSSH's server offers beyond it
//! (`fsync@openssh.com`, `hardlink@openssh.com`); `docs/sftp.md` says what is left to a server that offers less.
//!
//! Nothing is sent before the first operation. A connection that breaks is replaced, and what was under way on it goes
//! on: reads where they stopped, writes after the last byte that the server has, proven by reading it back.

mod connect;
mod connect_failure;
mod delete;
mod download;
mod failure;
mod fingerprint;
mod host_key;
mod known_hosts;
mod list;
mod login;
mod options;
mod pool;
mod publish;
mod session;
mod stale;
mod tree;
mod upload;
mod window;

use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

pub use fingerprint::Fingerprint;
pub use options::{HostKeyPolicy, Login, SftpOptions};

use self::{download::SftpDownload, tree::Tree, upload::SftpUpload};
use super::{
    Download, Entry, EntryKind, Error, ErrorKind, Listing, ObjectPath, Result, Storage, Upload,
    requests::Requests,
};

/// A store in a directory of another host.
#[derive(Clone, Debug)]
pub struct SftpStorage {
    tree: Arc<Tree>,
}

impl SftpStorage {
    /// A store under these limits; nothing is connected to yet.
    pub fn new(options: SftpOptions, requests: Requests) -> Self {
        Self { tree: Arc::new(Tree::new(options, requests)) }
    }

    fn truncated(&self, path: &ObjectPath) -> Error {
        Error::new(ErrorKind::Truncated, "read", self.tree.name(path))
    }
}

#[async_trait]
impl Storage for SftpStorage {
    fn location(&self) -> String {
        self.tree.location()
    }

    fn is_far(&self) -> bool {
        true
    }

    async fn put(&self, path: &ObjectPath, data: Bytes) -> Result<()> {
        let mut upload = Box::new(SftpUpload::new(self.tree.clone(), path.clone()));
        upload.write(data).await?;
        upload.finish().await
    }

    async fn put_stream(&self, path: &ObjectPath) -> Result<Box<dyn Upload>> {
        Ok(Box::new(SftpUpload::new(self.tree.clone(), path.clone())))
    }

    async fn get(&self, path: &ObjectPath) -> Result<Box<dyn Download>> {
        Ok(Box::new(SftpDownload::open(self.tree.clone(), path.clone(), None).await?))
    }

    async fn get_range(&self, path: &ObjectPath, range: Range<u64>) -> Result<Bytes> {
        if range.start > range.end {
            return Err(self.truncated(path));
        }
        let wanted = (range.end - range.start) as usize;
        let mut download = SftpDownload::open(self.tree.clone(), path.clone(), Some(range)).await?;
        let mut bytes = BytesMut::new();
        while let Some(chunk) = download.next().await? {
            // One chunk that is all there is needs no copy.
            if bytes.is_empty() && chunk.len() == wanted {
                return Ok(chunk);
            }
            bytes.extend_from_slice(&chunk);
        }
        match bytes.len() == wanted {
            true => Ok(bytes.freeze()),
            false => Err(self.truncated(path)),
        }
    }

    async fn stat(&self, path: &ObjectPath) -> Result<Entry> {
        let found = self.tree.object("look at", path).await?;
        let kind = EntryKind::Object { size: found.size };
        Ok(Entry { path: path.clone(), kind, modified: found.modified })
    }

    async fn list(&self, directory: &ObjectPath, recurse: bool) -> Result<Vec<Entry>> {
        list::below(&self.tree, directory, recurse).await
    }

    async fn list_and_links(&self, directory: &ObjectPath, recurse: bool) -> Result<Listing> {
        list::below_and_links(&self.tree, directory, recurse).await
    }

    async fn list_prefix(&self, directory: &ObjectPath, prefix: &str) -> Result<Vec<Entry>> {
        list::with_prefix(&self.tree, directory, prefix).await
    }

    async fn delete(&self, paths: &[ObjectPath]) -> Result<()> {
        delete::delete(&self.tree, paths).await
    }

    async fn remove_stale(&self, directory: &ObjectPath, older_than: Duration) -> Result<u64> {
        stale::remove(&self.tree, directory, older_than).await
    }
}
