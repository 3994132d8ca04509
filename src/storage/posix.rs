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
mod wait;

use std::{ops::Range, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

pub use self::wait::FileWatch;
use self::{
    download::PosixDownload,
    tree::Tree,
    upload::PosixUpload,
    wait::{Bound, WAIT_MAX},
};
use super::{Download, Entry, Error, ErrorKind, Listing, ObjectPath, Result, Storage, Upload};

/// A store in a directory of this host, or of a network file system that renames atomically.
#[derive(Clone, Debug)]
pub struct PosixStorage {
    tree: Arc<Tree>,
    threads: Threads,
}

/// Which thread does file work, which may block.
#[derive(Clone, Debug)]
enum Threads {
    /// One of the runtime's threads for blocking work, with a time limit.
    Own(Bound),
    /// That of the task that asks.
    Same(FileWatch),
}

impl PosixStorage {
    /// A store below `root`, which is made by the first write where it is missing.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let tree = Tree::new(root.into());
        let bound = Bound { wait_max: WAIT_MAX, location: tree.location() };
        Self { tree: Arc::new(tree), threads: Threads::Own(bound) }
    }

    /// The same store with another time limit for a file operation.
    pub fn giving_up_after(self, wait_max: Duration) -> Self {
        let bound = Bound { wait_max, location: self.tree.location() };
        Self { threads: Threads::Own(bound), ..self }
    }

    /// The same store for a program that does one thing after the other: its file work is done on the
    /// thread of the task that asks, which waits for it anyway, and no time goes into waking another. `watch` shows
    /// another thread whether an operation hangs.
    pub fn on_this_thread(self, watch: &FileWatch) -> Self {
        let watch = watch.clone().located(self.tree.location());
        Self { threads: Threads::Same(watch), ..self }
    }

    /// Runs a piece of file work where it may block.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tree) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let tree = Arc::clone(&self.tree);
        self.threads.run(0, move || work(&tree)).await
    }
}

impl Threads {
    /// Runs blocking work that reads or writes `bytes`; on a thread of its own a panic in it becomes an error.
    async fn run<T: Send + 'static>(
        &self,
        bytes: u64,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match self {
            Self::Own(bound) => within(bound, bytes, work).await,
            Self::Same(watch) => watch.run(bytes, work),
        }
    }
}

/// Runs work on a separate thread, which continues when the wait for it ends.
async fn within<T: Send + 'static>(
    bound: &Bound,
    bytes: u64,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::time::timeout(bound.wait_for(bytes), tokio::task::spawn_blocking(work)).await {
        Ok(Ok(done)) => done,
        Ok(Err(error)) => {
            Err(Error::new(ErrorKind::Other, "run", "the file thread").caused_by(error))
        }
        Err(_) => Err(bound.exceeded()),
    }
}

#[async_trait]
impl Storage for PosixStorage {
    fn location(&self) -> String {
        self.tree.location()
    }

    async fn put(&self, path: &ObjectPath, data: Bytes) -> Result<()> {
        let (tree, path) = (Arc::clone(&self.tree), path.clone());
        self.threads.run(data.len() as u64, move || tree.put(&path, &[data])).await
    }

    async fn put_stream(&self, path: &ObjectPath) -> Result<Box<dyn Upload>> {
        Ok(Box::new(PosixUpload::new(Arc::clone(&self.tree), path.clone(), self.threads.clone())))
    }

    async fn get(&self, path: &ObjectPath) -> Result<Box<dyn Download>> {
        let (path, threads) = (path.clone(), self.threads.clone());
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

    async fn list_and_links(&self, directory: &ObjectPath, recurse: bool) -> Result<Listing> {
        let directory = directory.clone();
        self.run(move |tree| tree.list_and_links(&directory, recurse)).await
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
