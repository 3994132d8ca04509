//! A decorator that breaks chosen operations, for tests of everything above a store.

use std::{
    fmt::Debug,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Download, Entry, Error, ErrorKind, Listing, ObjectPath, Result, Storage, Upload};

/// The operations of a store that can be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operation {
    Put,
    Write,
    Finish,
    Get,
    Read,
    Stat,
    List,
    Delete,
}

/// What goes wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The operation fails before it does anything.
    Fail(ErrorKind),
    /// The operation is done, and its answer is lost.
    FailAfter(ErrorKind),
    /// A put fails at once, and takes effect after this time all the same.
    Late(Duration),
    /// The operation takes this much longer.
    Delay(Duration),
    /// The operation never ends.
    Hang,
    /// Another process deletes this object; then the operation is done.
    Lose(ObjectPath),
    /// A read ends early without an error, as if the object were this number of bytes shorter.
    CutRead(u64),
    /// A read shows the lowest bit of this byte of the object flipped.
    FlipRead(u64),
}

/// A fault, and when it strikes.
#[derive(Clone, Debug)]
pub struct Rule {
    /// In which operation.
    pub operation: Operation,
    /// Only on objects whose path holds this text.
    pub path_contains: String,
    /// How many matching calls pass before it strikes.
    pub skip: u32,
    /// How often it strikes; `None` for ever.
    pub times: Option<u32>,
    /// What goes wrong.
    pub fault: Fault,
}

impl Rule {
    /// A rule that always strikes, on every object.
    pub fn always(operation: Operation, fault: Fault) -> Self {
        Self { operation, path_contains: String::new(), skip: 0, times: None, fault }
    }

    /// The same rule on objects whose path holds `text`.
    pub fn on(self, text: &str) -> Self {
        Self { path_contains: text.to_owned(), ..self }
    }

    /// The same rule after `skip` matching calls, `times` times.
    pub fn at(self, skip: u32, times: u32) -> Self {
        Self { skip, times: Some(times), ..self }
    }
}

/// A store that does what the one inside does, except where a rule strikes.
#[derive(Clone, Debug)]
pub struct FaultyStorage {
    inner: Arc<dyn Storage>,
    rules: Rules,
}

/// The rules, shared by the store and what it opened.
#[derive(Clone, Debug)]
struct Rules {
    all: Arc<Mutex<Vec<Rule>>>,
    store: Arc<dyn Storage>,
}

impl FaultyStorage {
    /// Wraps a store; without rules it changes nothing.
    pub fn new(inner: Arc<dyn Storage>) -> Self {
        let rules = Rules { all: Arc::default(), store: Arc::clone(&inner) };
        Self { inner, rules }
    }

    /// Adds a rule; of several that match a call the first strikes.
    pub fn add(&self, rule: Rule) {
        self.rules.lock().push(rule);
    }

    /// Removes all rules.
    pub fn clear(&self) {
        self.rules.lock().clear();
    }
}

impl Rules {
    fn lock(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault that strikes this call, if one does.
    fn strike(&self, operation: Operation, path: &ObjectPath) -> Option<Fault> {
        let mut rules = self.lock();
        let matching = rules.iter_mut().filter(|rule| {
            rule.operation == operation && path.as_str().contains(&rule.path_contains)
        });
        for rule in matching {
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            match &mut rule.times {
                Some(0) => continue,
                Some(times) => *times -= 1,
                None => {}
            }
            return Some(rule.fault.clone());
        }
        None
    }

    /// Does `work`, unless a rule says otherwise.
    async fn around<T>(
        &self,
        operation: Operation,
        path: &ObjectPath,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.meet(self.strike(operation, path), path, work).await
    }

    /// Does `work`, with the fault that strikes it.
    async fn meet<T>(
        &self,
        fault: Option<Fault>,
        path: &ObjectPath,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        match fault {
            Some(Fault::Fail(kind)) => Err(injected(kind, path)),
            Some(Fault::FailAfter(kind)) => work.await.and(Err(injected(kind, path))),
            Some(Fault::Delay(time)) => {
                tokio::time::sleep(time).await;
                work.await
            }
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Lose(object)) => {
                self.store.delete(&[object]).await?;
                work.await
            }
            Some(Fault::Late(_) | Fault::CutRead(_) | Fault::FlipRead(_)) | None => work.await,
        }
    }
}

fn injected(kind: ErrorKind, path: &ObjectPath) -> Error {
    Error::new(kind, "use", path.as_str()).caused_by("injected fault")
}

#[async_trait]
impl Storage for FaultyStorage {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn is_far(&self) -> bool {
        self.inner.is_far()
    }

    async fn put(&self, path: &ObjectPath, data: Bytes) -> Result<()> {
        let fault = self.rules.strike(Operation::Put, path);
        if let Some(Fault::Late(time)) = fault {
            let (inner, late) = (Arc::clone(&self.inner), path.clone());
            tokio::spawn(async move {
                tokio::time::sleep(time).await;
                // The receiver is gone.
                let _ = inner.put(&late, data).await;
            });
            return Err(injected(ErrorKind::Transient, path));
        }
        self.rules.meet(fault, path, self.inner.put(path, data)).await
    }

    async fn put_stream(&self, path: &ObjectPath) -> Result<Box<dyn Upload>> {
        let open = self.inner.put_stream(path);
        let inner = self.rules.around(Operation::Put, path, open).await?;
        Ok(Box::new(FaultyUpload { inner, path: path.clone(), rules: self.rules.clone() }))
    }

    async fn get(&self, path: &ObjectPath) -> Result<Box<dyn Download>> {
        let inner = self.rules.around(Operation::Get, path, self.inner.get(path)).await?;
        let damage = self.rules.strike(Operation::Read, path);
        let rules = self.rules.clone();
        Ok(Box::new(FaultyDownload { inner, path: path.clone(), rules, damage, position: 0 }))
    }

    async fn get_range(&self, path: &ObjectPath, range: Range<u64>) -> Result<Bytes> {
        let start = range.start;
        let read = self.inner.get_range(path, range);
        let bytes = self.rules.around(Operation::Get, path, read).await?;
        match self.rules.strike(Operation::Read, path) {
            Some(Fault::Fail(kind) | Fault::FailAfter(kind)) => Err(injected(kind, path)),
            Some(Fault::FlipRead(at)) => Ok(flip(bytes, start, at)),
            Some(Fault::CutRead(n)) => Ok(bytes.slice(..bytes.len().saturating_sub(n as usize))),
            _ => Ok(bytes),
        }
    }

    async fn stat(&self, path: &ObjectPath) -> Result<Entry> {
        self.rules.around(Operation::Stat, path, self.inner.stat(path)).await
    }

    async fn list(&self, directory: &ObjectPath, recurse: bool) -> Result<Vec<Entry>> {
        self.rules.around(Operation::List, directory, self.inner.list(directory, recurse)).await
    }

    async fn list_and_links(&self, directory: &ObjectPath, recurse: bool) -> Result<Listing> {
        let list = self.inner.list_and_links(directory, recurse);
        self.rules.around(Operation::List, directory, list).await
    }

    async fn list_prefix(&self, directory: &ObjectPath, prefix: &str) -> Result<Vec<Entry>> {
        let list = self.inner.list_prefix(directory, prefix);
        self.rules.around(Operation::List, directory, list).await
    }

    async fn delete(&self, paths: &[ObjectPath]) -> Result<()> {
        let first = paths.first().cloned().unwrap_or_default();
        self.rules.around(Operation::Delete, &first, self.inner.delete(paths)).await
    }

    async fn remove_stale(&self, directory: &ObjectPath, older_than: Duration) -> Result<u64> {
        let work = self.inner.remove_stale(directory, older_than);
        self.rules.around(Operation::Delete, directory, work).await
    }
}

struct FaultyUpload {
    inner: Box<dyn Upload>,
    path: ObjectPath,
    rules: Rules,
}

#[async_trait]
impl Upload for FaultyUpload {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        self.rules.around(Operation::Write, &self.path, self.inner.write(data)).await
    }

    async fn finish(self: Box<Self>) -> Result<()> {
        self.rules.around(Operation::Finish, &self.path, self.inner.finish()).await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.inner.abort().await
    }
}

struct FaultyDownload {
    inner: Box<dyn Download>,
    path: ObjectPath,
    rules: Rules,
    /// What strikes this object's bytes.
    damage: Option<Fault>,
    /// Bytes that came out so far.
    position: u64,
}

impl FaultyDownload {
    fn spoil(&self, chunk: Bytes) -> Option<Bytes> {
        match self.damage {
            Some(Fault::FlipRead(at)) => Some(flip(chunk, self.position, at)),
            Some(Fault::CutRead(n)) => {
                let end = self.inner.size().saturating_sub(n);
                let left = end.saturating_sub(self.position).min(chunk.len() as u64);
                (left > 0).then(|| chunk.slice(..left as usize))
            }
            _ => Some(chunk),
        }
    }
}

#[async_trait]
impl Download for FaultyDownload {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        match self.damage.take() {
            Some(Fault::Fail(kind) | Fault::FailAfter(kind)) => {
                return Err(injected(kind, &self.path));
            }
            Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
            Some(Fault::Hang) => std::future::pending().await,
            keep => self.damage = keep,
        }
        let read = self.inner.next();
        let Some(chunk) = self.rules.around(Operation::Read, &self.path, read).await? else {
            return Ok(None);
        };
        let len = chunk.len() as u64;
        let spoiled = self.spoil(chunk);
        self.position += len;
        Ok(spoiled)
    }

    fn size(&self) -> u64 {
        self.inner.size()
    }
}

fn flip(bytes: Bytes, start: u64, at: u64) -> Bytes {
    let mut bytes = Vec::from(bytes);
    let index = at.checked_sub(start).and_then(|index| usize::try_from(index).ok());
    if let Some(byte) = index.and_then(|index| bytes.get_mut(index)) {
        *byte ^= 1;
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{PosixStorage, conformance};

    fn store() -> (tempfile::TempDir, FaultyStorage) {
        let dir = tempfile::tempdir().unwrap();
        let store = FaultyStorage::new(Arc::new(PosixStorage::new(dir.path())));
        (dir, store)
    }

    async fn read(store: &FaultyStorage) -> Result<Vec<u8>> {
        let mut download = store.get(&ObjectPath::new("x").unwrap()).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = download.next().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    #[tokio::test]
    async fn without_rules_it_is_a_store_like_any_other() {
        let (_dir, store) = store();
        conformance::run_all(Arc::new(store)).await;
    }

    #[tokio::test]
    async fn rules_strike_where_and_when_they_say() {
        let (_dir, store) = store();
        let x = ObjectPath::new("x").unwrap();
        store.add(Rule::always(Operation::Put, Fault::Fail(ErrorKind::Full)).on("x").at(0, 1));
        let full = store.put(&x, Bytes::from_static(b"abc")).await.unwrap_err();
        assert_eq!(full.kind(), ErrorKind::Full);
        store.put(&x, Bytes::from_static(b"abc")).await.unwrap();
        store.add(Rule::always(Operation::Read, Fault::FlipRead(1)).at(0, 1));
        assert_eq!(read(&store).await.unwrap(), b"acc");
        store.clear();
        let y = ObjectPath::new("y").unwrap();
        store.add(Rule::always(Operation::Put, Fault::Lose(x.clone())).on("y"));
        store.put(&y, Bytes::from_static(b"abc")).await.unwrap();
        assert!(read(&store).await.unwrap_err().is_not_found());
        store.put(&x, Bytes::from_static(b"abc")).await.unwrap();
        store.clear();
        store.add(Rule::always(Operation::Read, Fault::CutRead(2)));
        assert_eq!(read(&store).await.unwrap(), b"a");
        store.clear();
        store.add(Rule::always(Operation::Get, Fault::Fail(ErrorKind::Transient)).at(1, 1));
        assert_eq!(read(&store).await.unwrap(), b"abc");
        assert_eq!(read(&store).await.unwrap_err().kind(), ErrorKind::Transient);
        assert_eq!(read(&store).await.unwrap(), b"abc");
    }
}
