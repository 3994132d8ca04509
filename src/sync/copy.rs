//! Copies one object and verifies it meanwhile: an object that does not match its record is never published.

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

pub(super) async fn copy_object(
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
            Err(error) => return Err(abort_upload(upload, Error::source(error)).await),
        };
        hasher.update(&chunk);
        size += chunk.len() as u64;
        progress.advance(chunk.len() as u64);
        if let Err(error) = upload.write(chunk).await {
            return Err(abort_failed_upload(upload, error.into()).await);
        }
    }
    if size != record.size || hasher.finish() != record.sha256 {
        let object = framed::object_name(&**from, path);
        let what = if size == record.size { "SHA-256" } else { "size" };
        return Err(abort_upload(upload, repo::Error::Damaged { object, what }.into()).await);
    }
    if is_new(upload.finish().await)? { Ok(()) } else { verify_existing(to, path, record).await }
}

/// Aborts an upload because of `error`, which is returned.
async fn abort_upload(upload: Box<dyn Upload>, error: Error) -> Error {
    // A failure is ignored: an unfinished upload is not visible.
    let _ = upload.abort().await;
    error
}

/// Aborts a failed upload, unless the target does not answer: that would wait for another timeout.
async fn abort_failed_upload(upload: Box<dyn Upload>, error: repo::Error) -> Error {
    let is_away = |error: &repo::Error| matches!(error, repo::Error::Storage(e) if e.kind() == ErrorKind::Transient);
    if is_away(&error) {
        Error::Target(error)
    } else {
        abort_upload(upload, Error::Target(error)).await
    }
}

/// Whether the object is the one just written; `false` if another process created it meanwhile.
fn is_new(finished: storage::Result<()>) -> Result<bool, Error> {
    match finished {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(Error::target(error)),
    }
}

/// Reads an object of the target that another writer may have created, and compares it with its record.
pub(super) async fn verify_existing(
    to: &Arc<dyn Storage>,
    path: &ObjectPath,
    record: ObjectRecord,
) -> Result<(), Error> {
    let mut download = to.get(path).await.map_err(Error::target)?;
    let mut hasher = Sha256Hasher::new();
    let mut size = 0;
    while let Some(chunk) = download.next().await.map_err(Error::target)? {
        hasher.update(&chunk);
        size += chunk.len() as u64;
    }
    if size == record.size && hasher.finish() == record.sha256 {
        Ok(())
    } else {
        Err(differs(to, path, format!("the source's has SHA-256 {}", record.sha256)))
    }
}

/// Objects of this copy were verified when they were written, so comparing the size is sufficient.
pub(super) fn same_size(
    to: &Arc<dyn Storage>,
    path: &ObjectPath,
    there: EntryKind,
    size: u64,
) -> Result<(), Error> {
    match there {
        EntryKind::Object { size: found } if found == size => Ok(()),
        _ => Err(differs(to, path, format!("the source's has {size} bytes"))),
    }
}

fn differs(to: &Arc<dyn Storage>, path: &ObjectPath, what: String) -> Error {
    Error::Differs { object: framed::object_name(&**to, path), what }
}

/// Creates a metadata object. An existing one with the same content is accepted.
pub(super) async fn create(
    to: &Arc<dyn Storage>,
    path: &ObjectPath,
    data: Bytes,
) -> Result<(), Error> {
    if !is_new(to.put(path, data.clone()).await)? {
        let existing = framed::read_proven(&**to, path, data.len()).await.map_err(Error::Target)?;
        if existing != data {
            return Err(differs(
                to,
                path,
                "another process created it at the same time".to_owned(),
            ));
        }
    }
    Ok(())
}

pub(super) struct WalFile<'a> {
    pub(super) from: &'a WalArchive,
    pub(super) to: &'a WalArchive,
    pub(super) stored: &'a StoredWal,
    pub(super) path: ObjectPath,
    /// The expected cluster.
    pub(super) cluster: ClusterIdentity,
}

/// Copies a file of the archive. It is decompressed meanwhile, and digest, header and cluster are verified as by
/// archive-get.
pub(super) async fn wal(to: &Arc<dyn Storage>, file: &WalFile<'_>) -> Result<(), Error> {
    let download = file.from.open(file.stored).await?;
    let upload = to.put_stream(&file.path).await.map_err(Error::target)?;
    let upload = Arc::new(Mutex::new(Some(upload)));
    let target_failed = Arc::new(AtomicBool::new(false));
    let tee = Tee {
        inner: download,
        upload: Arc::clone(&upload),
        target_failed: Arc::clone(&target_failed),
    };
    let proven = wal::verify_from(file.from, file.stored, Box::new(tee), file.cluster).await;
    let Some(upload) = upload.lock().await.take() else { return Ok(()) };
    match proven {
        Ok(_) => {
            if is_new(upload.finish().await)? {
                Ok(())
            } else {
                verify_existing_wal(file).await
            }
        }
        Err(wal::Error::Repo(error)) if target_failed.load(Ordering::Relaxed) => {
            Err(abort_failed_upload(upload, error).await)
        }
        Err(error) => Err(abort_upload(upload, error.into()).await),
    }
}

/// The server may have archived the file to the target meanwhile, possibly with another compression.
async fn verify_existing_wal(file: &WalFile<'_>) -> Result<(), Error> {
    let stored = StoredWal { path: file.path.clone(), ..file.stored.clone() };
    match wal::verify(file.to, &stored, file.cluster).await {
        Ok(_) => Ok(()),
        Err(wal::Error::Repo(error)) => Err(Error::Target(error)),
        Err(error) => {
            Err(Error::Differs { object: file.path.to_string(), what: error.to_string() })
        }
    }
}

/// A reader that also writes what is read to the target.
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
