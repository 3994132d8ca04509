//! Reading an object, or a part of it, with several requests under way. After a break it continues where it stopped.

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future;

use super::{
    failure::{Answer, Refusal},
    tree::{OpenFile, Tree},
    window::Window,
};
use crate::storage::{Download, Error, ErrorKind, ObjectPath, Result, requests::Attempts};

/// Reads under way for one object: 2 MiB of it, with the largest pieces.
const READS_AT_ONCE: usize = 16;

pub(super) struct SftpDownload {
    tree: Arc<Tree>,
    path: ObjectPath,
    name: String,
    /// The size of the object.
    size: u64,
    /// Up to where bytes were handed out, and up to where they were asked for.
    offset: u64,
    asked: u64,
    end: u64,
    file: Option<Arc<OpenFile>>,
    under_way: Window<Answer<Bytes>>,
    attempts: Attempts,
}

impl SftpDownload {
    /// Opens an object; without a range, to read all of it.
    pub(super) async fn open(
        tree: Arc<Tree>,
        path: ObjectPath,
        range: Option<Range<u64>>,
    ) -> Result<Self> {
        let name = tree.name(&path);
        let (file, size) = reach(&tree, &path, &name).await?;
        let range = range.unwrap_or(0..size);
        if range.end > size {
            return Err(Error::new(ErrorKind::Truncated, "read", name));
        }
        let attempts = tree.requests.retry().begin();
        let (offset, end) = (range.start, range.end);
        let (file, under_way) = (Some(Arc::new(file)), Window::new());
        Ok(Self { tree, path, name, size, offset, asked: offset, end, file, under_way, attempts })
    }

    async fn reopen(&mut self) -> Result<Arc<OpenFile>> {
        let (file, size) = reach(&self.tree, &self.path, &self.name).await?;
        if size != self.size {
            return Err(Error::new(ErrorKind::Other, "read", &*self.name)
                .caused_by("it changed while it was read"));
        }
        Ok(Arc::new(file))
    }

    /// Asks for what comes next, as far as it may be under way.
    fn ask(&mut self, file: &Arc<OpenFile>) {
        while self.asked < self.end && self.under_way.len() < READS_AT_ONCE {
            let (file, offset) = (Arc::clone(file), self.asked);
            let len = (self.end - offset).min(file.session().read_max() as u64);
            self.asked += len;
            self.under_way.push(async move { file.read(offset, len as usize).await });
        }
    }

    async fn file(&mut self) -> Result<Arc<OpenFile>> {
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => self.reopen().await?,
        };
        self.file = Some(Arc::clone(&file));
        Ok(file)
    }

    async fn receive(&mut self) -> Result<Bytes> {
        let file = self.file().await?;
        let _permit = self.tree.requests.permit().await;
        self.ask(&file);
        let answer = self.under_way.next().await.unwrap_or(Err(Refusal::End));
        answer.map_err(|refusal| match refusal {
            // It was opened: what is missing is not the object.
            Refusal::Missing => {
                Refusal::Broken("the open file handle is gone".into()).error("read", &self.name)
            }
            refusal => refusal.error("read", &self.name),
        })
    }

    async fn wait_after(&mut self, error: Error) -> Result<()> {
        (self.file, self.asked) = (None, self.offset);
        self.under_way.clear();
        if error.kind() != ErrorKind::Transient {
            return Err(error);
        }
        let Some(wait) = self.attempts.next_wait(error.retry_after()) else { return Err(error) };
        tracing::debug!("{error}; retrying in {} ms", wait.as_millis());
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

/// Looks at the object and opens it in the same moment; what was opened counts only if the look says so.
async fn reach(tree: &Arc<Tree>, path: &ObjectPath, name: &str) -> Result<(OpenFile, u64)> {
    let attempt = || async {
        let lease = tree.pool.lease().await?;
        let session = Arc::clone(lease.session());
        let full = tree.full(path);
        let (look, opened) =
            future::join(tree.find(&session, "read", path), session.open(&full)).await;
        let file = opened.map(|handle| OpenFile::new(lease, handle));
        let look = tree.is_object("read", path, look?)?;
        Ok((file.map_err(|refusal| refusal.error("read", name))?, look.size))
    };
    tree.requests.run("read", name, 0, attempt).await
}

#[async_trait]
impl Download for SftpDownload {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        // The reader may have taken any time since the last bytes.
        self.attempts.reset();
        while self.offset < self.end {
            match self.receive().await {
                Ok(bytes) => {
                    self.offset += bytes.len() as u64;
                    self.tree.requests.spend(bytes.len() as u64).await;
                    return Ok(Some(bytes));
                }
                Err(error) => self.wait_after(error).await?,
            }
        }
        Ok(None)
    }

    fn size(&self) -> u64 {
        self.size
    }
}
