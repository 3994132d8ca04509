//! The objects below a prefix of a bucket, by key: looked at, read, and created under a free name only.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::sync::Mutex;

use super::{
    super::{
        Error, ErrorKind, ObjectPath, Result,
        requests::{Progress, Requests},
    },
    BucketApi, CreateOnly, Found,
    guard::Guard,
};

#[derive(Debug)]
pub(super) struct Objects {
    pub(super) api: Box<dyn BucketApi>,
    pub(super) requests: Requests,
    /// Empty, or with a `/` at its end.
    prefix: String,
    put_guard: Guard,
    complete_guard: Guard,
}

impl Objects {
    /// The objects below `prefix`, a path with or without the `/` it begins with.
    pub(super) fn new(api: Box<dyn BucketApi>, prefix: &str, requests: Requests) -> Self {
        let trimmed = prefix.trim_matches('/');
        let prefix = if trimmed.is_empty() { String::new() } else { format!("{trimmed}/") };
        let traits = api.traits();
        Self {
            api,
            requests,
            prefix,
            put_guard: Guard::new(traits.put),
            complete_guard: Guard::new(traits.complete),
        }
    }

    /// The prefix of all keys as a person would name it.
    pub(super) fn location(&self) -> String {
        self.name(self.prefix.trim_end_matches('/')).trim_end_matches('/').to_owned()
    }

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

    /// Finds out whether the server creates only. See [`super::guard`].
    async fn probe(&self, key: &str, data: Bytes) -> Result<()> {
        let name = self.name(key);
        let bytes = data.len() as u64;
        let again = self.requests.run("write", &name, bytes, || self.api.put(key, data.clone()));
        let known = match again.await {
            Ok(()) => {
                tracing::debug!(
                    "{} does not support conditional writes: checking for existing \
                                 objects before each write",
                    self.api.location()
                );
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

    pub(super) async fn head(&self, operation: &'static str, key: &str) -> Result<Found> {
        self.requests.run(operation, &self.name(key), 0, || self.api.head(key)).await
    }

    pub(super) async fn read(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        let name = self.name(key);
        let bytes = range.end - range.start;
        let came = Mutex::new(BytesMut::new());
        let read = || async { self.read_on(key, &name, &range, &mut *came.lock().await).await };
        self.requests.run("read", &name, bytes, read).await
    }

    /// Reads what is missing of a range after the bytes that came in the attempts before.
    async fn read_on(
        &self,
        key: &str,
        name: &str,
        range: &Range<u64>,
        came: &mut BytesMut,
    ) -> Result<Bytes> {
        let wanted = (range.end - range.start) as usize;
        let progress = Progress::current();
        let mut body = self.api.get(key, Some(range.start + came.len() as u64..range.end)).await?;
        if body.size < range.end {
            return Err(Error::new(ErrorKind::Truncated, "read", name));
        }
        while let Some(chunk) = body.bytes.next().await {
            let chunk = chunk?;
            progress.made();
            if chunk.len() > wanted - came.len() {
                return Err(Error::new(ErrorKind::Other, "read", name)
                    .caused_by("more bytes were received than requested"));
            }
            // One chunk that is all there is needs no copy.
            if chunk.len() == wanted {
                return Ok(chunk);
            }
            came.reserve(wanted - came.len());
            came.extend_from_slice(&chunk);
            // What is complete is not asked for more.
            if came.len() == wanted {
                return Ok(came.split().freeze());
            }
        }
        Err(Error::new(ErrorKind::Transient, "read", name)
            .caused_by(format!("{} of {wanted} bytes were received", came.len())))
    }
}
