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
        if let Err(error) = upload.write(chunk).await {
            return Err(give_up_failed(upload, error.into()).await);
        }
    }
    if size != record.size || hasher.finish() != record.sha256 {
        let object = framed::object_name(&**from, path);
        let what = if size == record.size { "SHA-256" } else { "size" };
        return Err(give_up(upload, repo::Error::Damaged { object, what }.into()).await);
    }
    match is_new(upload.finish().await)? {
        true => Ok(()),
        false => prove(to, path, record).await,
    }
}

/// Removes what was written; the error is the one to tell of.
async fn give_up(upload: Box<dyn Upload>, error: Error) -> Error {
    // What cannot be removed now was never visible.
    let _ = upload.abort().await;
    error
}

/// The same for an upload that failed, unless the target does not answer: that is not waited for once more.
async fn give_up_failed(upload: Box<dyn Upload>, error: repo::Error) -> Error {
    let is_away = |error: &repo::Error| matches!(error, repo::Error::Storage(e) if e.kind() == ErrorKind::Transient);
    match is_away(&error) {
        true => Error::Target(error),
        false => give_up(upload, Error::Target(error)).await,
    }
}

/// Whether the object is the one that was just written; `false` if another process created it meanwhile.
fn is_new(finished: storage::Result<()>) -> Result<bool, Error> {
    match finished {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(Error::target(error)),
    }
}

/// Reads an object of the target that is not known to be of this copy, and holds it against what is recorded.
pub(super) async fn prove(
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
    match size == record.size && hasher.finish() == record.sha256 {
        true => Ok(()),
        false => Err(differs(to, path, format!("the source's has SHA-256 {}", record.sha256))),
    }
}

/// An object of this copy was proven when it was made: of the right size, it is the same.
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

/// Creates a small object that carries its own proof; one of the same bytes that is there already is as good.
pub(super) async fn create(
    to: &Arc<dyn Storage>,
    path: &ObjectPath,
    data: Bytes,
) -> Result<(), Error> {
    if !is_new(to.put(path, data.clone()).await)? {
        let there = framed::read_proven(&**to, path, data.len()).await.map_err(Error::Target)?;
        if there != data {
            return Err(differs(to, path, "somebody else made it at the same time".to_owned()));
        }
    }
    Ok(())
}

/// A file of the archive on its way.
pub(super) struct WalFile<'a> {
    /// The archive that it comes from.
    pub(super) from: &'a WalArchive,
    /// The archive that it goes to.
    pub(super) to: &'a WalArchive,
    /// The file in the source.
    pub(super) stored: &'a StoredWal,
    /// Its path in the target.
    pub(super) path: ObjectPath,
    /// The cluster that it must be of.
    pub(super) cluster: ClusterIdentity,
}

/// Copies a file of the archive. It is decoded on the way, and digest, header and cluster are proven as in
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
        Ok(_) => match is_new(upload.finish().await)? {
            true => Ok(()),
            false => prove_wal(file).await,
        },
        Err(wal::Error::Repo(error)) if target_failed.load(Ordering::Relaxed) => {
            Err(give_up_failed(upload, error).await)
        }
        Err(error) => Err(give_up(upload, error.into()).await),
    }
}

/// The server may have archived the file into the target meanwhile, perhaps compressed in another way.
async fn prove_wal(file: &WalFile<'_>) -> Result<(), Error> {
    let stored = StoredWal { path: file.path.clone(), ..file.stored.clone() };
    match wal::verify(file.to, &stored, file.cluster).await {
        Ok(_) => Ok(()),
        Err(wal::Error::Repo(error)) => Err(Error::Target(error)),
        Err(error) => {
            Err(Error::Differs { object: file.path.to_string(), what: error.to_string() })
        }
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
