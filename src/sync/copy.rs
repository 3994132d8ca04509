//! Copies one object, proven on the way: what does not match what is recorded of it never gets its name.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Mutex;

use super::Error;
use crate::{
    codec::Sha256Hasher,
    repo::{
        self,
        archive::{StoredWal, WalArchive},
        manifest::ObjectRecord,
        metadata as framed,
    },
    storage::{self, Download, EntryKind, ErrorKind, ObjectPath, Storage, Upload},
    types::ProgressSink,
    wal::{self, ClusterIdentity},
};

/// Copies an object of which size and SHA-256 are recorded.
pub(super) async fn recorded(
    from: &Arc<dyn Storage>,
    to: &Arc<dyn Storage>,
    path: &ObjectPath,
    record: ObjectRecord,
    progress: &dyn ProgressSink,
) -> Result<(), Error> {
    let mut download = from.get(path).await.map_err(Error::source)?;
    let mut upload = to.put_stream(path).await.map_err(Error::target)?;
    let mut hasher = Sha256Hasher::new();
    let mut size = 0;
    loop {
        let chunk = match download.next().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(error) => return Err(give_up(upload, Error::source(error)).await),
        };
        hasher.update(&chunk);
        size += chunk.len() as u64;
        progress.advance(chunk.len() as u64);
        upload.write(chunk).await.map_err(Error::target)?;
    }
    if size != record.size || hasher.finish() != record.sha256 {
        let object = framed::object_name(&**from, path);
        let what = if size == record.size { "SHA-256" } else { "size" };
        return Err(give_up(upload, repo::Error::Damaged { object, what }.into()).await);
    }
    let finished = upload.finish().await;
    conclude(to, path, finished, record.size).await
}

/// Removes what was written; the error is the one to tell of.
async fn give_up(upload: Box<dyn Upload>, error: Error) -> Error {
    // What cannot be removed now was never visible.
    let _ = upload.abort().await;
    error
}

/// Somebody else may have made the object meanwhile: fine if it has the size.
async fn conclude(
    to: &Arc<dyn Storage>,
    path: &ObjectPath,
    finished: storage::Result<()>,
    size: u64,
) -> Result<(), Error> {
    match finished {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let there = to.stat(path).await.map_err(Error::target)?;
            same_size(to, path, there.kind, size)
        }
        Err(error) => Err(Error::target(error)),
    }
}

/// An object that is in the target was made whole: of the right size, it is taken for the same.
pub(super) fn same_size(
    to: &Arc<dyn Storage>,
    path: &ObjectPath,
    there: EntryKind,
    size: u64,
) -> Result<(), Error> {
    match there {
        EntryKind::Object { size: found } if found == size => Ok(()),
        _ => Err(Error::Differs {
            object: framed::object_name(&**to, path),
            what: format!("the source's has {size} bytes"),
        }),
    }
}

/// Copies a small object that carries its own proof, byte for byte; says how many bytes it has.
pub(super) async fn metadata(
    from: &Arc<dyn Storage>,
    to: &Arc<dyn Storage>,
    path: &ObjectPath,
    size_max: usize,
) -> Result<u64, Error> {
    let data = framed::read_proven(&**from, path, size_max).await?;
    let size = data.len() as u64;
    let put = to.put(path, data).await;
    conclude(to, path, put, size).await.map(|()| size)
}

/// Copies a file of the archive. It is decoded on the way, and digest, header and cluster are proven as in
/// archive-get.
pub(super) async fn wal(
    archive: &WalArchive,
    from: &Arc<dyn Storage>,
    to: &Arc<dyn Storage>,
    stored: &StoredWal,
    target: &ObjectPath,
    cluster: ClusterIdentity,
) -> Result<(), Error> {
    let download = from.get(&stored.path).await.map_err(Error::source)?;
    let upload = to.put_stream(target).await.map_err(Error::target)?;
    let upload = Arc::new(Mutex::new(Some(upload)));
    let target_failed = Arc::new(AtomicBool::new(false));
    let tee = Tee {
        inner: download,
        upload: Arc::clone(&upload),
        target_failed: Arc::clone(&target_failed),
    };
    let proven = wal::verify_from(archive, stored, Box::new(tee), cluster).await;
    let Some(upload) = upload.lock().await.take() else { return Ok(()) };
    match proven {
        Ok(_) => conclude(to, target, upload.finish().await, stored.size).await,
        Err(wal::Error::Repo(error)) if target_failed.load(Ordering::Relaxed) => {
            Err(give_up(upload, Error::Target(error)).await)
        }
        Err(error) => Err(give_up(upload, error.into()).await),
    }
}

/// Writes what is read from it to the target.
struct Tee {
    inner: Box<dyn Download>,
    upload: Arc<Mutex<Option<Box<dyn Upload>>>>,
    target_failed: Arc<AtomicBool>,
}

#[async_trait]
impl Download for Tee {
    async fn next(&mut self) -> storage::Result<Option<Bytes>> {
        let Some(chunk) = self.inner.next().await? else { return Ok(None) };
        if let Some(upload) = self.upload.lock().await.as_mut() {
            let written = upload.write(chunk.clone()).await;
            written.inspect_err(|_| self.target_failed.store(true, Ordering::Relaxed))?;
        }
        Ok(Some(chunk))
    }

    fn size(&self) -> u64 {
        self.inner.size()
    }
}
