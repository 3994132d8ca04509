//! Where objects are kept. One trait, [`Storage`]; a backend for each kind of store; decorators around it.
//!
//! Nothing is ever overwritten: an object is created once, whole, and later perhaps deleted.
//! Formats are not known here; bytes in, bytes out.

#[cfg(feature = "azure")]
pub mod azure;
#[cfg(feature = "_http")]
pub mod bucket;
pub mod conformance;
pub mod crash_safe;
mod error;
pub mod fault;
#[cfg(feature = "gcs")]
pub mod gcs;
#[cfg(feature = "_http")]
pub mod http;
mod object_path;
#[cfg(feature = "_object-store")]
mod object_store_api;
mod posix;
#[cfg(feature = "_requests")]
pub mod requests;
#[cfg(feature = "s3")]
pub mod s3;
#[cfg(feature = "sftp")]
pub mod sftp;

use std::{fmt::Debug, ops::Range, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

pub use error::{Error, ErrorKind};
pub use object_path::ObjectPath;
#[cfg(feature = "_object-store")]
pub use object_store_api::ConnectionOptions;
pub use posix::{FileWatch, PosixStorage};

/// The result of a storage operation.
pub type Result<T> = std::result::Result<T, Error>;

/// What a listing or a look says of one object or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The path from the root of the storage.
    pub path: ObjectPath,
    /// An object with its size, or a directory (a common prefix on an object store).
    pub kind: EntryKind,
    /// When the object was made, seconds since 1970, where the store tells.
    pub modified: Option<i64>,
}

/// The two kinds of thing a listing shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// An object and its size in bytes.
    Object {
        /// Size in bytes as stored.
        size: u64,
    },
    /// A directory, or a common prefix.
    Directory,
}

/// A store of objects. Every backend keeps these promises, and `storage::conformance` tests them:
///
/// - `put` and a finished [`Upload`] create the object whole and durably, or not at all. When the
///   object exists already the error is `AlreadyExists` and the object is untouched.
/// - After an `Ok` from `put` or `finish`, the bytes survive a power failure.
/// - A dropped or aborted upload leaves nothing that `list` or `get` can see.
/// - Reading what is not there is `NotFound`, never an empty success; a short read is an error.
/// - `list` sees every object whose `put` returned before it began, in byte order of the path.
/// - Operations are safe to call from many tasks at once.
#[async_trait]
pub trait Storage: Send + Sync + Debug {
    /// The store as a person would name it in an error, such as `/var/lib/pgstrata` or `s3://bucket/prefix`.
    fn location(&self) -> String;

    /// Whether requests cross a network: then many at a time, and large ones ahead of their use, are worth their
    /// memory.
    fn is_far(&self) -> bool {
        false
    }

    /// Creates an object from bytes at hand.
    async fn put(&self, path: &ObjectPath, data: Bytes) -> Result<()>;

    /// Starts an object of unknown length.
    async fn put_stream(&self, path: &ObjectPath) -> Result<Box<dyn Upload>>;

    /// Opens an object to read it from its start.
    async fn get(&self, path: &ObjectPath) -> Result<Box<dyn Download>>;

    /// Reads exactly the bytes of `range`; an object that ends before is `Truncated`.
    async fn get_range(&self, path: &ObjectPath, range: Range<u64>) -> Result<Bytes>;

    /// Looks at one object.
    async fn stat(&self, path: &ObjectPath) -> Result<Entry>;

    /// Lists what is directly below `directory`, or, with `recurse`, every object and directory below
    /// it. A directory that does not exist lists as empty.
    async fn list(&self, directory: &ObjectPath, recurse: bool) -> Result<Vec<Entry>>;

    /// Like [`list`](Self::list), but reports symbolic links instead of failing on them. Only for `verify`: to any other
    /// command, an object behind a link would look absent.
    async fn list_and_links(&self, directory: &ObjectPath, recurse: bool) -> Result<Listing> {
        Ok(Listing { entries: self.list(directory, recurse).await?, links: Vec::new() })
    }

    /// Lists the objects directly below `directory` whose file name starts with `name_prefix`.
    async fn list_prefix(&self, directory: &ObjectPath, name_prefix: &str) -> Result<Vec<Entry>>;

    /// Deletes objects, durably; those that are gone already are no error. Directories left empty go too.
    async fn delete(&self, paths: &[ObjectPath]) -> Result<()>;

    /// Removes what writers that died left below `directory`, out of sight of every listing, if it was
    /// last written to longer ago than `older_than`; says how much went. Writers that live touch theirs
    /// all the time. A store on which nothing can be left has nothing to do.
    async fn remove_stale(&self, _directory: &ObjectPath, _older_than: Duration) -> Result<u64> {
        Ok(0)
    }
}

/// The result of a listing, in byte order of the path.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Objects and directories.
    pub entries: Vec<Entry>,
    /// Symbolic links.
    pub links: Vec<ObjectPath>,
}

/// An object being written; it exists once `finish` returned `Ok`.
#[async_trait]
pub trait Upload: Send {
    /// Appends bytes.
    async fn write(&mut self, data: Bytes) -> Result<()>;
    /// Makes the object durable and visible; `AlreadyExists` where the name was taken meanwhile.
    async fn finish(self: Box<Self>) -> Result<()>;
    /// Gives the object up and removes what was written.
    async fn abort(self: Box<Self>) -> Result<()>;
}

/// An object being read.
#[async_trait]
pub trait Download: Send {
    /// The next bytes, `None` at the end; never an empty chunk. An end before the object's size is `Truncated`.
    async fn next(&mut self) -> Result<Option<Bytes>>;
    /// The size of the object in bytes.
    fn size(&self) -> u64;
}
