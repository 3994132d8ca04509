//! The [`BucketApi`] of the stores that the crate `object_store` speaks to: Azure Blob Storage and Google Cloud Storage.
//!
//! The crate makes and signs requests and reads answers. It does not retry here, and its errors are not shown: what a
//! failure means is read from the answer itself, which [`wire`] keeps.

mod answer;
mod batch;
mod connection;
mod wire;

use std::{borrow::Cow, fmt, ops::Range};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use object_store::{
    Attributes, GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, TagSet,
    list::{PaginatedListOptions, PaginatedListStore},
    multipart::{MultipartStore, PartId},
    path::Path,
};

use super::{
    Error, ErrorKind, Result,
    bucket::{Body, BucketApi, Found, Page, Traits, UnfinishedPage, UploadMarker},
};
use answer::{Failed, Meaning};

pub(super) use answer::scrubbed;
pub use connection::ConnectionOptions;
pub(super) use connection::{Endpoint, invalid, no_retries};
#[cfg(feature = "azure")]
pub(super) use wire::Amend;
pub(super) use wire::{Connector, Route};

/// Keys on a page of a listing: what bounds the memory of a page.
const PAGE_KEYS_MAX: usize = 1000;

/// No object is larger. Ranges end here at the latest: some servers take their ends for signed numbers or for floats.
const OBJECT_SIZE_MAX: u64 = 1 << 50;

/// What the two stores do not have in common.
#[derive(Debug)]
pub(super) struct Profile {
    /// The bucket in messages, such as `gs://bucket`.
    pub(super) location: String,
    /// The bucket in a sentence, such as `container 'backups'`.
    pub(super) bucket: String,
    /// The option that names it.
    pub(super) bucket_option: &'static str,
    /// The option with what opens it.
    pub(super) key_option: &'static str,
    pub(super) traits: Traits,
    /// What new objects are given.
    pub(super) attributes: Attributes,
    /// See `attributes`. The crate takes them for objects that are sent whole.
    pub(super) tags: TagSet,
    /// Whether the crate leaves out of a listing the object whose key is the prefix itself.
    pub(super) prefix_is_left_out: bool,
    /// Whether the store takes a backslash for a slash. Then keys are stored with `%5C` for it, and `%25` for `%`.
    pub(super) backslash_is_slash: bool,
    /// Whether parts of an upload that was not completed may hold the name against a `put`.
    pub(super) parts_hold_the_name: bool,
    /// Whether a look is told what it is that is missing. Where it is not, reading a byte is.
    pub(super) look_explains_absence: bool,
}

/// The requests of a store of the crate.
pub(super) struct ObjectStoreApi<S> {
    store: S,
    profile: Profile,
}

impl<S> ObjectStoreApi<S> {
    pub(super) fn new(store: S, profile: Profile) -> Self {
        Self { store, profile }
    }
}

/// The crate's stores show their credentials in theirs.
impl<S> fmt::Debug for ObjectStoreApi<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStoreApi").field("profile", &self.profile).finish_non_exhaustive()
    }
}

impl<S: ObjectStore + MultipartStore + PaginatedListStore> ObjectStoreApi<S> {
    fn name(&self, key: &str) -> String {
        format!("{}/{key}", self.profile.location)
    }

    /// The crate's form of a key. The crate encodes nothing here, and what it would change is refused.
    fn path(&self, operation: &'static str, key: &str) -> Result<Path> {
        let stored = self.stored(key);
        let refused = |why: String| {
            Err(Error::new(ErrorKind::Other, operation, self.name(key)).caused_by(why))
        };
        match Path::parse(&*stored) {
            Ok(path) if path.as_ref() == stored => Ok(path),
            Ok(_) => refused("a key neither begins nor ends with a slash".into()),
            Err(error) => refused(error.to_string()),
        }
    }

    /// A key as the store has it.
    fn stored<'a>(&self, key: &'a str) -> Cow<'a, str> {
        match self.profile.backslash_is_slash && key.contains(['%', '\\']) {
            true => key.replace('%', "%25").replace('\\', "%5C").into(),
            false => key.into(),
        }
    }

    /// The key of what is stored like this.
    fn key(&self, stored: &str) -> String {
        match self.profile.backslash_is_slash && stored.contains('%') {
            true => stored.replace("%5C", "\\").replace("%25", "%"),
            false => stored.to_owned(),
        }
    }

    fn found(&self, meta: &ObjectMeta) -> Found {
        Found {
            key: self.key(meta.location.as_ref()),
            size: meta.size,
            modified: Some(meta.last_modified.timestamp()),
        }
    }

    fn error(&self, operation: &'static str, key: &str, failed: Failed) -> Error {
        answer::error(&self.profile, operation, self.name(key), failed)
    }

    async fn opened(
        &self,
        operation: &'static str,
        key: &str,
        options: GetOptions,
    ) -> std::result::Result<GetResult, Failed> {
        let path = self.path(operation, key).map_err(Failed::Ours)?;
        answer::listen(self.store.get_opts(&path, options)).await
    }

    async fn put_once(&self, key: &str, data: Bytes) -> Result<()> {
        let path = self.path("write", key)?;
        let options = PutOptions {
            mode: PutMode::Create,
            attributes: self.profile.attributes.clone(),
            tags: self.profile.tags.clone(),
            ..PutOptions::default()
        };
        let put = self.store.put_opts(&path, PutPayload::from_bytes(data), options);
        answer::listen(put).await.map(drop).map_err(|failed| self.error("write", key, failed))
    }

    /// As an object of one part: what is left of earlier uploads is not in the way of that.
    async fn put_as_part(&self, key: &str, data: Bytes) -> Result<()> {
        let upload = self.begin_parts(key).await?;
        let part = self.put_part(key, &upload, 1, data).await?;
        self.complete_parts(key, &upload, &[part]).await
    }

    async fn is_absent(&self, key: &str) -> Result<bool> {
        match self.head(key).await {
            Ok(_) => Ok(false),
            Err(error) if error.is_not_found() => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Whether an object holds nothing from `start` on.
    async fn ends_by(&self, key: &str, start: Option<u64>) -> Result<bool> {
        match start {
            Some(start) => Ok(self.head(key).await?.size <= start),
            None => Ok(false),
        }
    }

    async fn look(&self, key: &str) -> std::result::Result<Found, Failed> {
        let options = GetOptions { head: true, ..GetOptions::default() };
        Ok(self.found(&self.opened("look at", key, options).await?.meta))
    }

    /// Reads a byte: a store that does not say in answer to a look what it is that is missing says it then.
    async fn look_by_reading(&self, key: &str) -> std::result::Result<Found, Failed> {
        let options = GetOptions { range: Some(GetRange::Bounded(0..1)), ..GetOptions::default() };
        let result = self.opened("look at", key, options).await?;
        let found = self.found(&result.meta);
        // What is not read would cost the connection. If it does not come, nothing is lost.
        let _byte = result.bytes().await;
        Ok(found)
    }
}

#[async_trait]
impl<S: ObjectStore + MultipartStore + PaginatedListStore> BucketApi for ObjectStoreApi<S> {
    fn location(&self) -> String {
        self.profile.location.clone()
    }

    fn traits(&self) -> Traits {
        self.profile.traits
    }

    async fn put(&self, key: &str, data: Bytes) -> Result<()> {
        match self.put_once(key, data.clone()).await {
            Err(error)
                if error.kind() == ErrorKind::AlreadyExists
                    && self.profile.parts_hold_the_name
                    && self.is_absent(key).await? =>
            {
                self.put_as_part(key, data).await
            }
            done => done,
        }
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Body> {
        let bounded = |range: Range<u64>| {
            GetRange::Bounded(
                range.start..range.end.min(range.start.saturating_add(OBJECT_SIZE_MAX)),
            )
        };
        let start = range.as_ref().map(|range| range.start);
        let options = GetOptions { range: range.map(bounded), ..GetOptions::default() };
        let result = match self.opened("read", key, options).await {
            Ok(result) => result,
            // Some servers answer with no bytes of a range that they should refuse.
            Err(failed) if failed.is_answered_well() && self.ends_by(key, start).await? => {
                return Err(Error::new(ErrorKind::Truncated, "read", self.name(key)));
            }
            Err(failed) => return Err(self.error("read", key, failed)),
        };
        let (size, name) = (result.meta.size, self.name(key));
        let bytes = result.into_stream().map(move |chunk| {
            chunk.map_err(|error| {
                Error::new(ErrorKind::Transient, "read", &*name).caused_by(answer::broken(&error))
            })
        });
        Ok(Body { size, bytes: bytes.boxed() })
    }

    async fn head(&self, key: &str) -> Result<Found> {
        let looked = match self.profile.look_explains_absence {
            true => match self.look(key).await {
                Err(failed) if failed.is_unexplained_absence() => self.look_by_reading(key).await,
                looked => looked,
            },
            false => match self.look_by_reading(key).await {
                // An empty object has no byte that could be read.
                Err(failed) if failed.is_about_the_range() => self.look(key).await,
                looked => looked,
            },
        };
        looked.map_err(|failed| self.error("look at", key, failed))
    }

    async fn list(&self, prefix: &str, delimited: bool, page: Option<String>) -> Result<Page> {
        let stored = self.stored(prefix);
        let asked = match self.profile.prefix_is_left_out {
            true => without_last_character(&stored),
            false => &stored,
        };
        let options = PaginatedListOptions {
            delimiter: delimited.then_some("/".into()),
            max_keys: Some(PAGE_KEYS_MAX),
            page_token: page,
            ..PaginatedListOptions::default()
        };
        let listed = self.store.list_paginated(Some(asked).filter(|p| !p.is_empty()), options);
        let listed =
            answer::listen(listed).await.map_err(|failed| self.error("list", prefix, failed))?;
        let objects = listed.result.objects.iter().map(|meta| self.found(meta));
        let prefixes = listed.result.common_prefixes.iter();
        let prefixes = prefixes.map(|path| self.key(path.as_ref()) + "/");
        Ok(Page {
            objects: objects.filter(|found| found.key.starts_with(prefix)).collect(),
            prefixes: prefixes.filter(|common| common.starts_with(prefix)).collect(),
            next: listed.page_token,
        })
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        let paths: Result<Vec<Path>> = keys.iter().map(|key| self.path("delete", key)).collect();
        let mut deleted = self.store.delete_stream(stream::iter(paths?).map(Ok).boxed());
        let name = keys.first().map(String::as_str).unwrap_or_default();
        loop {
            let next = answer::listen(async { deleted.next().await.transpose() });
            match next.await {
                Ok(None) => return Ok(()),
                Ok(Some(_)) => {}
                Err(failed) if failed.meaning(false) == Meaning::Kind(ErrorKind::NotFound) => {}
                Err(failed) => return Err(self.error("delete", name, failed)),
            }
        }
    }

    async fn begin_parts(&self, key: &str) -> Result<String> {
        let path = self.path("write", key)?;
        let options = PutMultipartOptions {
            attributes: self.profile.attributes.clone(),
            ..PutMultipartOptions::default()
        };
        let begun = self.store.create_multipart_opts(&path, options);
        answer::listen(begun).await.map_err(|failed| self.error("write", key, failed))
    }

    async fn put_part(&self, key: &str, upload: &str, number: u32, data: Bytes) -> Result<String> {
        let path = self.path("write", key)?;
        let (upload, index) = (upload.to_owned(), number.saturating_sub(1) as usize);
        let sent = self.store.put_part(&path, &upload, index, PutPayload::from_bytes(data));
        let part = answer::listen(sent).await.map_err(|failed| self.error("write", key, failed))?;
        Ok(part.content_id)
    }

    async fn complete_parts(&self, key: &str, upload: &str, parts: &[String]) -> Result<()> {
        let path = self.path("write", key)?;
        let parts = parts.iter().map(|part| PartId { content_id: part.clone() }).collect();
        let upload = upload.to_owned();
        let completed = self.store.complete_multipart(&path, &upload, parts);
        answer::listen(completed).await.map(drop).map_err(|failed| self.error("write", key, failed))
    }

    async fn abort_parts(&self, key: &str, upload: &str) -> Result<()> {
        let path = self.path("delete", key)?;
        let upload = upload.to_owned();
        match answer::listen(self.store.abort_multipart(&path, &upload)).await {
            Ok(()) => Ok(()),
            Err(failed) if failed.upload_is_gone() => Ok(()),
            Err(failed) => Err(self.error("delete", key, failed)),
        }
    }

    /// The crate lists none. Azure removes theirs after a week, Google's need a rule of the bucket.
    async fn unfinished(
        &self,
        _prefix: &str,
        _after: Option<UploadMarker>,
    ) -> Result<UnfinishedPage> {
        Ok(UnfinishedPage::default())
    }
}

/// A prefix that a key can be longer than and yet be what was asked for. One that ends with a slash names no object.
fn without_last_character(prefix: &str) -> &str {
    match prefix.char_indices().next_back() {
        Some((last, character)) if character != '/' => &prefix[..last],
        _ => prefix,
    }
}

#[cfg(test)]
mod tests;
