//! Object stores. What they share (keys under a prefix, listings in pages, uploads in parts, broken downloads that go
//! on where they stopped, retries) is done here once, in [`BucketStorage`]; what differs is a [`BucketApi`] of each,
//! whose methods are single requests.

mod download;
mod guard;
mod list;
mod objects;
mod storage;
mod upload;

use std::{fmt::Debug, ops::Range, pin::Pin};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;

pub use storage::BucketStorage;

use super::Result;

/// The requests of an object store's own protocol: each method is one request, made once. Errors say by their kind what
/// they mean; `Transient` is tried again by the caller, after the time that the store asked for. Keys are whole, with
/// the repository's prefix. No method retries, waits or buffers by itself.
#[async_trait]
pub trait BucketApi: Send + Sync + Debug + 'static {
    /// The bucket as a person would name it, such as `s3://bucket`.
    fn location(&self) -> String;

    /// What the store can do.
    fn traits(&self) -> Traits;

    /// Creates an object if its key is free (`If-None-Match: *`), else `AlreadyExists`. Stores that do not know the
    /// condition overwrite; [`Traits`] says how far it can be trusted.
    async fn put(&self, key: &str, data: Bytes) -> Result<()>;

    /// Reads an object or a range of it that is not empty. An object that ends within the range gives what there is;
    /// one that ends before it is `Truncated`.
    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Body>;

    /// Looks at an object.
    async fn head(&self, key: &str) -> Result<Found>;

    /// A page of the keys that start with `prefix`. `delimited`: what follows the next `/` is cut off and told once,
    /// as a prefix. `page`: what the page before gave as `next`.
    async fn list(&self, prefix: &str, delimited: bool, page: Option<String>) -> Result<Page>;

    /// Deletes objects, at most [`Traits::delete_max`]; those that are gone are no error.
    async fn delete(&self, keys: &[String]) -> Result<()>;

    /// Begins an object of several parts; the name of the upload.
    async fn begin_parts(&self, key: &str) -> Result<String>;

    /// Sends a part, numbered from 1; what names it when the upload is completed.
    async fn put_part(&self, key: &str, upload: &str, number: u32, data: Bytes) -> Result<String>;

    /// Makes the object out of its parts, in their order, if its key is free, as in [`BucketApi::put`].
    async fn complete_parts(&self, key: &str, upload: &str, parts: &[String]) -> Result<()>;

    /// Gives an upload up. One that is gone is no error.
    async fn abort_parts(&self, key: &str, upload: &str) -> Result<()>;

    /// A page of the uploads that were begun below `prefix` and not ended; empty where the store removes them by itself.
    /// `after`: what the page before gave as `next`.
    async fn unfinished(&self, prefix: &str, after: Option<UploadMarker>)
    -> Result<UnfinishedPage>;
}

/// [`Traits::whole_max`] where nothing is configured: a bundle and a WAL file of the usual size are less. One request is
/// the cheapest way, and the only one in which most stores promise to create only.
pub const WHOLE_MAX: usize = 40 << 20;
/// [`Traits::part_size`] where nothing is configured. An upload has at most 10,000 parts; they grow with their number, so
/// this is enough for the largest objects that a store takes.
pub const PART_SIZE: usize = 16 << 20;

/// What an object store can do.
#[derive(Clone, Copy, Debug)]
pub struct Traits {
    /// Whether a `put` keeps what is there.
    pub put: CreateOnly,
    /// Whether `complete_parts` does.
    pub complete: CreateOnly,
    /// Objects up to this size in bytes are sent in one request, larger ones in parts.
    pub whole_max: usize,
    /// Bytes of a part.
    pub part_size: usize,
    /// Objects that one delete may name.
    pub delete_max: usize,
}

/// How far a store can be trusted to create only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateOnly {
    /// It keeps what is there.
    Kept,
    /// To be found out: some servers of the protocol overwrite without a word.
    Unknown,
    /// It does not: a look has to come first.
    NotKept,
}

/// The bytes of an object as they come.
pub struct Body {
    /// The size of the whole object in bytes.
    pub size: u64,
    /// The bytes asked for.
    pub bytes: Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>,
}

impl Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").field("size", &self.size).finish_non_exhaustive()
    }
}

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was made, seconds since 1970.
    pub modified: Option<i64>,
}

/// Part of a listing.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The objects.
    pub objects: Vec<Found>,
    /// The common prefixes, each with the `/` it ends with.
    pub prefixes: Vec<String>,
    /// What asks for the next page; `None` on the last.
    pub next: Option<String>,
}

/// An upload in parts that was not ended.
#[derive(Clone, Debug)]
pub struct Unfinished {
    /// The key it was for.
    pub key: String,
    /// Its name.
    pub upload: String,
    /// When it was begun, seconds since 1970.
    pub begun: i64,
}

/// Part of a listing of uploads that were not ended.
#[derive(Clone, Debug, Default)]
pub struct UnfinishedPage {
    /// The uploads.
    pub uploads: Vec<Unfinished>,
    /// What asks for the next page; `None` on the last.
    pub next: Option<UploadMarker>,
}

/// The last upload of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadMarker {
    /// The key it is for.
    pub key: String,
    /// Its name, where the store told it.
    pub upload: Option<String>,
}

#[cfg(test)]
mod in_memory;
#[cfg(test)]
mod tests;
