//! A store in memory, whose objects can be damaged.

use std::{
    collections::{BTreeMap, btree_map::Entry as Slot},
    ops::Range,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;

use crate::storage::{
    Download, Entry, EntryKind, Error, ErrorKind, ObjectPath, Result, Storage, Upload,
};

/// A read of an object with this content panics.
pub(crate) const PANIC: &[u8] = b"panic";

type Objects = Arc<Mutex<BTreeMap<ObjectPath, Bytes>>>;

/// A store in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryStorage(Objects, bool);

impl MemoryStorage {
    /// One that says it is behind a network.
    pub(crate) fn far() -> Self {
        Self(Objects::default(), true)
    }

    pub(crate) fn paths(&self) -> Vec<ObjectPath> {
        self.0.lock().unwrap().keys().cloned().collect()
    }

    pub(crate) fn object(&self, path: &ObjectPath) -> Bytes {
        self.0.lock().unwrap()[path].clone()
    }

    /// Puts other bytes in the place of an object.
    pub(crate) fn damage(&self, path: &ObjectPath, change: impl FnOnce(&mut Vec<u8>)) {
        let mut objects = self.0.lock().unwrap();
        let mut bytes = objects[path].to_vec();
        change(&mut bytes);
        objects.insert(path.clone(), bytes.into());
    }

    pub(crate) fn remove(&self, path: &ObjectPath) {
        self.0.lock().unwrap().remove(path).unwrap();
    }

    fn find(&self, path: &ObjectPath) -> Result<Bytes> {
        let missing = || Error::new(ErrorKind::NotFound, "read", format!("memory/{path}"));
        self.0.lock().unwrap().get(path).cloned().ok_or_else(missing)
    }

    fn insert(&self, path: &ObjectPath, data: Bytes) -> Result<()> {
        match self.0.lock().unwrap().entry(path.clone()) {
            Slot::Vacant(free) => drop(free.insert(data)),
            Slot::Occupied(_) => {
                let object = format!("memory/{path}");
                return Err(Error::new(ErrorKind::AlreadyExists, "write", object));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    fn location(&self) -> String {
        "memory".to_owned()
    }

    fn is_far(&self) -> bool {
        self.1
    }

    async fn put(&self, path: &ObjectPath, data: Bytes) -> Result<()> {
        self.insert(path, data)
    }

    async fn put_stream(&self, path: &ObjectPath) -> Result<Box<dyn Upload>> {
        Ok(Box::new(MemoryUpload { storage: self.clone(), path: path.clone(), data: Vec::new() }))
    }

    async fn get(&self, path: &ObjectPath) -> Result<Box<dyn Download>> {
        let data = self.find(path)?;
        assert!(data != PANIC, "it was asked for");
        Ok(Box::new(MemoryDownload { size: data.len() as u64, data: Some(data) }))
    }

    async fn get_range(&self, path: &ObjectPath, range: Range<u64>) -> Result<Bytes> {
        let data = self.find(path)?;
        match range.end <= data.len() as u64 {
            true => Ok(data.slice(range.start as usize..range.end as usize)),
            false => Err(Error::new(ErrorKind::Truncated, "read", format!("memory/{path}"))),
        }
    }

    async fn stat(&self, path: &ObjectPath) -> Result<Entry> {
        let kind = EntryKind::Object { size: self.find(path)?.len() as u64 };
        Ok(Entry { path: path.clone(), kind, modified: None })
    }

    async fn list(&self, directory: &ObjectPath, recurse: bool) -> Result<Vec<Entry>> {
        let prefix = format!("{directory}/");
        let mut found = BTreeMap::new();
        for (path, data) in &*self.0.lock().unwrap() {
            let Some(rest) = path.as_str().strip_prefix(&prefix) else { continue };
            let kind = match rest.split_once('/') {
                None => EntryKind::Object { size: data.len() as u64 },
                Some(_) if recurse => EntryKind::Object { size: data.len() as u64 },
                Some(_) => EntryKind::Directory,
            };
            let name = if recurse { rest } else { rest.split('/').next().unwrap() };
            let path = directory.join(name).unwrap();
            found.insert(path.clone(), Entry { path, kind, modified: None });
        }
        Ok(found.into_values().collect())
    }

    async fn list_prefix(&self, directory: &ObjectPath, name_prefix: &str) -> Result<Vec<Entry>> {
        let mut found = self.list(directory, false).await?;
        found.retain(|entry| entry.path.file_name().starts_with(name_prefix));
        Ok(found)
    }

    async fn delete(&self, paths: &[ObjectPath]) -> Result<()> {
        self.0.lock().unwrap().retain(|path, _| !paths.contains(path));
        Ok(())
    }
}

struct MemoryUpload {
    storage: MemoryStorage,
    path: ObjectPath,
    data: Vec<u8>,
}

#[async_trait]
impl Upload for MemoryUpload {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        self.data.extend_from_slice(&data);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<()> {
        self.storage.insert(&self.path, self.data.into())
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct MemoryDownload {
    data: Option<Bytes>,
    size: u64,
}

#[async_trait]
impl Download for MemoryDownload {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        Ok(self.data.take().filter(|data| !data.is_empty()))
    }

    fn size(&self) -> u64 {
        self.size
    }
}
