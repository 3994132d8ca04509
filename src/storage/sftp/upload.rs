//! Writing an object: under a temporary name, with several requests under way, until it is published.
//!
//! Bytes that the server has confirmed are not kept. When the connection breaks, those that it has not are sent again on
//! another one; and because a server that crashed may have lost even what it had confirmed, the file is then read back
//! and compared before it gets its name.

use std::{collections::VecDeque, sync::Arc};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::{
    delete::{self, Touched},
    failure::{Answer, Refusal, other},
    publish::{self, Expected},
    tree::{OpenFile, Tree},
    window::Window,
};
use crate::storage::{
    Error, ErrorKind, ObjectPath, Result, Upload, crash_safe::TEMPORARY_PREFIX, requests::Attempts,
};

/// Bytes of one write.
const PIECE: usize = 128 << 10;
/// Writes under way for one object: 2 MiB of it, as much as OpenSSH's server lets be under way.
const WRITES_AT_ONCE: usize = 16;
/// How often a file is begun again when a delete takes the emptied directory away from under it.
const DIRECTORY_TRIES: usize = 16;

/// A name for a file in `directory` that no listing shows.
pub(super) fn temporary_in(tree: &Tree, directory: &ObjectPath) -> String {
    let directory = tree.full(directory);
    let directory = directory.trim_end_matches('/');
    format!("{directory}/{TEMPORARY_PREFIX}{:016x}", rand::random::<u64>())
}

pub(super) struct SftpUpload {
    tree: Arc<Tree>,
    path: ObjectPath,
    name: String,
    /// Bytes not yet sent, less than a piece.
    gathered: BytesMut,
    /// Bytes cut into pieces so far.
    cut: u64,
    digest: blake3::Hasher,
    /// Pieces to be sent, with their places.
    waiting: VecDeque<(u64, Bytes)>,
    under_way: Window<Sent>,
    /// The temporary name, once the file was made.
    temporary: Option<String>,
    file: Option<Arc<OpenFile>>,
    /// Another connection went on with it.
    resumed: bool,
    /// A call was given up or failed: what it did is not known.
    unsure: bool,
    attempts: Attempts,
}

/// A piece, where it belongs, and what became of it.
struct Sent {
    offset: u64,
    piece: Bytes,
    answer: Answer<()>,
}

impl SftpUpload {
    pub(super) fn new(tree: Arc<Tree>, path: ObjectPath) -> Self {
        Self {
            name: tree.name(&path),
            attempts: tree.requests.retry().begin(),
            tree,
            path,
            gathered: BytesMut::new(),
            cut: 0,
            digest: blake3::Hasher::new(),
            waiting: VecDeque::new(),
            under_way: Window::new(),
            temporary: None,
            file: None,
            resumed: false,
            unsure: false,
        }
    }

    /// Takes bytes in and sends what makes whole pieces.
    async fn take(&mut self, mut data: Bytes) -> Result<()> {
        self.digest.update(&data);
        while !data.is_empty() {
            let room = (PIECE - self.gathered.len()).min(data.len());
            if room == PIECE {
                self.cut_piece(data.split_to(room));
            } else {
                self.gathered.extend_from_slice(&data.split_to(room));
                if self.gathered.len() == PIECE {
                    let piece = self.gathered.split().freeze();
                    self.cut_piece(piece);
                }
            }
            self.send(WRITES_AT_ONCE - 1).await?;
        }
        Ok(())
    }

    fn cut_piece(&mut self, piece: Bytes) {
        let offset = self.cut;
        self.cut += piece.len() as u64;
        self.waiting.push_back((offset, piece));
    }

    /// Sends what waits, until no more than `left` writes are under way.
    async fn send(&mut self, left: usize) -> Result<()> {
        while !self.waiting.is_empty() || self.under_way.len() > left {
            if let Err(error) = self.step(left).await {
                self.wait_after(error).await?;
            }
        }
        Ok(())
    }

    async fn step(&mut self, left: usize) -> Result<()> {
        while self.under_way.len() < WRITES_AT_ONCE
            && let Some((offset, piece)) = self.waiting.front().cloned()
        {
            let file = self.file().await?;
            let queued = Instant::now();
            self.tree.requests.spend(piece.len() as u64).await;
            self.attempts.leave_out(queued.elapsed());
            self.waiting.pop_front();
            self.under_way.push(async move {
                let answer = file.write(offset, &piece).await;
                Sent { offset, piece, answer }
            });
        }
        if self.under_way.len() <= left {
            return Ok(());
        }
        match self.under_way.next().await {
            Some(Sent { answer: Ok(()), .. }) => self.attempts.reset(),
            Some(Sent { offset, piece, answer: Err(refusal) }) => {
                self.waiting.push_back((offset, piece));
                return Err(self.write_failed(refusal).await);
            }
            None => {}
        }
        Ok(())
    }

    async fn write_failed(&mut self, refusal: Refusal) -> Error {
        match &self.file {
            Some(file) => self.tree.write_failed(file.session(), &self.path, refusal).await,
            None => refusal.error("write", &self.name),
        }
    }

    /// After a break what has no answer is sent again; any other failure is final.
    async fn wait_after(&mut self, error: Error) -> Result<()> {
        if error.kind() != ErrorKind::Transient {
            return Err(error);
        }
        self.file = None;
        while let Some(Sent { offset, piece, answer }) = self.under_way.next().await {
            if answer.is_err() {
                self.waiting.push_back((offset, piece));
            }
        }
        let Some(wait) = self.attempts.next_wait(error.retry_after()) else { return Err(error) };
        tracing::debug!("{error}; retrying in {} ms", wait.as_millis());
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// The open file: made, or opened again on another connection.
    async fn file(&mut self) -> Result<Arc<OpenFile>> {
        if let Some(file) = &self.file {
            return Ok(Arc::clone(file));
        }
        let file = match self.temporary.clone() {
            None => self.make().await?,
            Some(temporary) => {
                self.resumed = true;
                self.open(&temporary).await?
            }
        };
        let file = Arc::new(file);
        self.file = Some(Arc::clone(&file));
        Ok(file)
    }

    /// Makes the temporary file, and the directories above it.
    async fn make(&mut self) -> Result<OpenFile> {
        let lease = self.tree.pool.lease().await?;
        let (session, parent) = (Arc::clone(lease.session()), self.path.parent());
        for _ in 0..DIRECTORY_TRIES {
            self.tree.ensure(&session, &parent).await?;
            let temporary = temporary_in(&self.tree, &parent);
            match session.create(&temporary).await {
                Ok(handle) => {
                    self.temporary = Some(temporary);
                    return Ok(OpenFile::new(lease, handle));
                }
                Err(Refusal::Missing) => {}
                Err(refusal) => {
                    return Err(self.tree.write_failed(&session, &self.path, refusal).await);
                }
            }
        }
        Err(other("write", &self.name, "its directory is removed repeatedly"))
    }

    async fn open(&mut self, temporary: &str) -> Result<OpenFile> {
        let lease = self.tree.pool.lease().await?;
        let session = Arc::clone(lease.session());
        match session.reopen(temporary).await {
            Ok(handle) => Ok(OpenFile::new(lease, handle)),
            Err(refusal) => Err(self.tree.write_failed(&session, &self.path, refusal).await),
        }
    }

    /// Everything is at the server; makes an object of it.
    async fn publish(&mut self) -> Result<()> {
        let expected = Expected { size: self.cut, digest: self.digest.finalize() };
        let mut tried = false;
        loop {
            let done = self.publish_once(&expected, &mut tried).await;
            match done {
                Err(error) if error.kind() == ErrorKind::Transient => {
                    self.wait_after(error).await?
                }
                done => return done,
            }
        }
    }

    /// The answer of an attempt before may have been lost: perhaps it was done. A server may also do it only after the
    /// connection broke, so what an attempt after that finds in its way may be the same object.
    async fn publish_once(&mut self, expected: &Expected, tried: &mut bool) -> Result<()> {
        let (tree, path, again) = (Arc::clone(&self.tree), self.path.clone(), *tried);
        let done_before = || publish::was_done(&tree, &path, expected);
        if again && done_before().await? {
            return Ok(());
        }
        match self.try_to_publish(expected, tried).await {
            Err(error) if again && error.kind() != ErrorKind::Transient => {
                match done_before().await? {
                    true => Ok(()),
                    false => Err(error),
                }
            }
            done => done,
        }
    }

    async fn try_to_publish(&mut self, expected: &Expected, tried: &mut bool) -> Result<()> {
        let (tree, path) = (Arc::clone(&self.tree), self.path.clone());
        let file = self.file().await?;
        if self.resumed {
            expected.must_be_in(&tree, &path, &file).await?;
        }
        let temporary = self.temporary.clone().unwrap_or_default();
        publish::publish(&tree, &path, &file, &temporary, tried).await
    }

    async fn finish_all(&mut self) -> Result<()> {
        let _permit = self.tree.requests.permit().await;
        self.attempts.reset();
        if !self.gathered.is_empty() {
            let last = self.gathered.split().freeze();
            self.cut_piece(last);
        }
        self.send(0).await?;
        self.publish().await
    }

    /// Removes the temporary file, and without a published object also the directories that are left empty.
    async fn clean_up(&mut self, published: bool) -> Result<()> {
        self.under_way.clear();
        self.file = None;
        match self.temporary.take() {
            Some(temporary) if published => {
                delete::remove_file(&self.tree, &self.path, &temporary).await
            }
            Some(temporary) => remove_unpublished(&self.tree, &self.path, &temporary).await,
            None => Ok(()),
        }
    }

    fn must_be_sure(&self) -> Result<()> {
        match self.unsure {
            false => Ok(()),
            true => Err(other("write", &self.name, "an earlier write of it failed")),
        }
    }
}

/// Removes the temporary file of an aborted upload, and the directories that are left empty: a concurrent delete could not
/// remove them because of the file.
async fn remove_unpublished(tree: &Tree, path: &ObjectPath, temporary: &str) -> Result<()> {
    delete::remove_file(tree, path, temporary).await?;
    delete::tidy(tree, Touched::from([path.parent()])).await
}

#[async_trait]
impl Upload for SftpUpload {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        self.must_be_sure()?;
        self.unsure = true;
        let permit = self.tree.requests.permit().await;
        // The writer may have taken any time since the last bytes.
        self.attempts.reset();
        self.take(data).await?;
        drop(permit);
        self.unsure = false;
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<()> {
        self.must_be_sure()?;
        let done = self.finish_all().await;
        let published = match &done {
            Ok(()) => true,
            // What is not removed now is out of sight, and removed by an expire: a server that was not there for so long
            // is not waited for again.
            Err(error) if error.kind() == ErrorKind::Transient => return done,
            Err(error) => error.kind() == ErrorKind::AlreadyExists,
        };
        if let Err(left) = self.clean_up(published).await {
            tracing::debug!("{left}");
        }
        done
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        self.clean_up(false).await
    }
}

impl Drop for SftpUpload {
    /// An upload that is dropped is given up, as far as there is still a runtime to do so.
    fn drop(&mut self) {
        let (Some(temporary), Ok(runtime)) =
            (self.temporary.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        self.under_way.clear();
        self.file = None;
        let (tree, path) = (Arc::clone(&self.tree), self.path.clone());
        runtime.spawn(async move {
            if let Err(left) = remove_unpublished(&tree, &path, &temporary).await {
                tracing::debug!("{left}");
            }
        });
    }
}
