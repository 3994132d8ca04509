//! A directory tree as a store.
//!
//! Objects are files of mode 0640 in directories of mode 0750. An object is written under a
//! temporary name (see `crash_safe`) and gets its own by a rename that never replaces. Symbolic
//! links below the root are errors, not followed, so that no object lies elsewhere than it seems.
//! Where `put` says `AlreadyExists`, what exists was made durable before it said so.

mod download;
mod failure;
mod tree;
mod upload;

use std::{ops::Range, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use self::{download::PosixDownload, tree::Tree, upload::PosixUpload};
use super::{Download, Entry, Error, ErrorKind, ObjectPath, Result, Storage, Upload};

/// A store in a directory of this host, or of a network file system that renames atomically.
#[derive(Clone, Debug)]
pub struct PosixStorage {
    tree: Arc<Tree>,
    threads: Threads,
}

/// Which thread does file work, which may block.
#[derive(Clone, Copy, Debug)]
enum Threads {
    /// One of the runtime's for such work.
    Own,
    /// That of the task that asks.
    Same,
}

impl PosixStorage {
    /// A store below `root`, which is made by the first write where it is missing.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { tree: Arc::new(Tree::new(root.into())), threads: Threads::Own }
    }

    /// The same store for a program that does one thing after the other: its file work is done on the
    /// thread of the task that asks, which waits for it anyway, and no time goes into waking another.
    pub fn on_this_thread(self) -> Self {
        Self { threads: Threads::Same, ..self }
    }

    /// Runs a piece of file work where it may block.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tree) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let tree = Arc::clone(&self.tree);
        self.threads.run(move || work(&tree)).await
    }
}

impl Threads {
    /// Runs blocking work; on a thread of its own a panic in it becomes an error.
    async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match self {
            Self::Own => within(WAIT_MAX, work).await,
            Self::Same => work(),
        }
    }
}

/// No piece of file work takes so long, whatever its size: it is a request, a listing or a thousand deletes. A file
/// system behind a network that does not answer would be waited for without an end.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// Runs work on a thread of its own, and waits for it so long and no longer.
async fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let failed = || Error::new(ErrorKind::Other, "run", "the file thread");
    match tokio::time::timeout(limit, tokio::task::spawn_blocking(work)).await {
        Ok(ended) => ended.map_err(|error| failed().caused_by(error))?,
        Err(_) => Err(failed()
            .caused_by(format!("a file operation did not end within {}s", limit.as_secs()))
            .with_hint("does the file system of the repository answer?")),
    }
}

#[async_trait]
impl Storage for PosixStorage {
    fn location(&self) -> String {
        self.tree.location()
    }

    async fn put(&self, path: &ObjectPath, data: Bytes) -> Result<()> {
        let path = path.clone();
        self.run(move |tree| tree.put(&path, &[data])).await
    }

    async fn put_stream(&self, path: &ObjectPath) -> Result<Box<dyn Upload>> {
        Ok(Box::new(PosixUpload::new(Arc::clone(&self.tree), path.clone(), self.threads)))
    }

    async fn get(&self, path: &ObjectPath) -> Result<Box<dyn Download>> {
        let (path, threads) = (path.clone(), self.threads);
        let open = move |tree: &Tree| PosixDownload::open(tree, &path, threads);
        Ok(Box::new(self.run(open).await?))
    }

    async fn get_range(&self, path: &ObjectPath, range: Range<u64>) -> Result<Bytes> {
        let path = path.clone();
        self.run(move |tree| tree.read_range(&path, range)).await
    }

    async fn stat(&self, path: &ObjectPath) -> Result<Entry> {
        let path = path.clone();
        self.run(move |tree| tree.stat(&path)).await
    }

    async fn list(&self, directory: &ObjectPath, recurse: bool) -> Result<Vec<Entry>> {
        let directory = directory.clone();
        self.run(move |tree| tree.list(&directory, recurse)).await
    }

    async fn list_prefix(&self, directory: &ObjectPath, prefix: &str) -> Result<Vec<Entry>> {
        let (directory, prefix) = (directory.clone(), prefix.to_owned());
        self.run(move |tree| tree.list_prefix(&directory, &prefix)).await
    }

    async fn delete(&self, paths: &[ObjectPath]) -> Result<()> {
        let paths = paths.to_vec();
        self.run(move |tree| tree.delete(&paths)).await
    }

    async fn remove_stale(&self, directory: &ObjectPath, older_than: Duration) -> Result<u64> {
        let directory = directory.clone();
        self.run(move |tree| tree.remove_stale(&directory, older_than)).await
    }
}

#[cfg(test)]
mod tests;
