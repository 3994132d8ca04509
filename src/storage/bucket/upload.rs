//! Writing an object of unknown length: up to the size of a part in one request, beyond that in parts, a few at a time.
//! Memory is bounded: the part that is gathered, and those under way.

use std::{mem::take, sync::Arc};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::{sync::OnceCell, task::JoinSet};

use super::{
    super::{Error, ErrorKind, Result, Upload},
    storage::Inner,
};

/// Parts of one object under way at a time.
const PARTS_AT_ONCE: usize = 4;
/// After so many parts they get larger by the first size: stores allow 10,000.
const PARTS_OF_A_SIZE: usize = 1000;

pub(super) struct BucketUpload {
    inner: Arc<Inner>,
    key: String,
    /// Bytes not yet sent, less than a part.
    gathered: BytesMut,
    written: u64,
    /// The name of the upload, which the first part asks for. Whoever writes does not wait for it.
    upload: Arc<OnceCell<String>>,
    parts: Vec<Option<String>>,
    under_way: JoinSet<Result<(usize, String)>>,
    finished: bool,
}

impl BucketUpload {
    pub(super) fn new(inner: Arc<Inner>, key: String) -> Self {
        Self {
            inner,
            key,
            gathered: BytesMut::new(),
            written: 0,
            upload: Arc::default(),
            parts: Vec::new(),
            under_way: JoinSet::new(),
            finished: false,
        }
    }

    fn part_size(&self) -> usize {
        self.inner.api.traits().part_size * (1 + self.parts.len() / PARTS_OF_A_SIZE)
    }

    async fn send_part(&mut self, data: Bytes) -> Result<()> {
        while self.under_way.len() >= PARTS_AT_ONCE {
            self.part_done().await?;
        }
        let index = self.parts.len();
        self.parts.push(None);
        let (inner, key, upload) = (self.inner.clone(), self.key.clone(), self.upload.clone());
        self.under_way.spawn(async move {
            let upload = upload.get_or_try_init(|| begin(&inner, &key)).await?;
            let number = index as u32 + 1;
            let send = || inner.api.put_part(&key, upload, number, data.clone());
            let bytes = data.len() as u64;
            let part = inner.requests.run("write", &inner.name(&key), bytes, send).await?;
            Ok((index, part))
        });
        Ok(())
    }

    /// Waits for a part; `false` when none is under way.
    async fn part_done(&mut self) -> Result<bool> {
        match self.under_way.join_next().await {
            None => Ok(false),
            Some(Ok(sent)) => {
                let (index, part) = sent?;
                self.parts[index] = Some(part);
                Ok(true)
            }
            Some(Err(lost)) => Err(self.error().caused_by(lost)),
        }
    }

    fn error(&self) -> Error {
        Error::new(ErrorKind::Other, "write", self.inner.name(&self.key))
    }

    async fn complete(&self) -> Result<()> {
        let upload = self.upload.get().ok_or_else(|| self.error().caused_by("no part was sent"))?;
        let parts: Option<Vec<String>> = self.parts.iter().cloned().collect();
        let parts = parts.ok_or_else(|| self.error().caused_by("a part was not sent"))?;
        self.inner.may_complete(&self.key).await?;
        let mut attempts = 0;
        let name = self.inner.name(&self.key);
        let complete = || {
            attempts += 1;
            self.inner.api.complete_parts(&self.key, upload, &parts)
        };
        match self.inner.requests.run("write", &name, 0, complete).await {
            // The answer of an attempt before may be lost: then the upload is gone, and the object is there.
            Err(error) if attempts > 1 && self.is_there().await? => {
                tracing::debug!("{error}; an attempt before it was done");
                Ok(())
            }
            done => done,
        }
    }

    async fn is_there(&self) -> Result<bool> {
        match self.inner.head("look at", &self.key).await {
            Ok(found) => Ok(found.size == self.written),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn finish_parts(&mut self) -> Result<()> {
        if !self.gathered.is_empty() {
            let last = self.gathered.split().freeze();
            self.send_part(last).await?;
        }
        while self.part_done().await? {}
        self.complete().await
    }

    /// What takes the upload back; nothing is left to be given up after it.
    fn giving_up(&mut self) -> impl Future<Output = Result<()>> + Send + use<> {
        let (upload, under_way) = (take(&mut self.upload), take(&mut self.under_way));
        give_up(self.inner.clone(), self.key.clone(), upload, under_way)
    }
}

async fn give_up(
    inner: Arc<Inner>,
    key: String,
    upload: Arc<OnceCell<String>>,
    mut under_way: JoinSet<Result<(usize, String)>>,
) -> Result<()> {
    // Its name may be on the way: without it, it could not be given up.
    while upload.get().is_none() && under_way.join_next().await.is_some() {}
    under_way.shutdown().await;
    let Some(upload) = upload.get() else { return Ok(()) };
    let abort = || inner.api.abort_parts(&key, upload);
    inner.requests.run("delete", &inner.name(&key), 0, abort).await
}

async fn begin(inner: &Inner, key: &str) -> Result<String> {
    inner.requests.run("write", &inner.name(key), 0, || inner.api.begin_parts(key)).await
}

#[async_trait]
impl Upload for BucketUpload {
    async fn write(&mut self, mut data: Bytes) -> Result<()> {
        self.written += data.len() as u64;
        loop {
            let room = self.part_size() - self.gathered.len();
            if data.len() <= room {
                self.gathered.extend_from_slice(&data);
                return Ok(());
            }
            self.gathered.extend_from_slice(&data.split_to(room));
            let part = self.gathered.split().freeze();
            self.send_part(part).await?;
        }
    }

    async fn finish(mut self: Box<Self>) -> Result<()> {
        if self.parts.is_empty() {
            let data = self.gathered.split().freeze();
            return self.inner.create(&self.key, data).await;
        }
        match self.finish_parts().await {
            Ok(()) => {
                self.finished = true;
                Ok(())
            }
            Err(error) => {
                // What is wrong is told; what cannot be removed now is removed by the next expire.
                if let Err(left) = self.giving_up().await {
                    tracing::debug!("{left}");
                }
                Err(error)
            }
        }
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        self.giving_up().await
    }
}

impl Drop for BucketUpload {
    /// An upload that is dropped is given up, as far as there is still a runtime to do so.
    fn drop(&mut self) {
        if self.parts.is_empty() || self.finished {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let giving_up = self.giving_up();
        runtime.spawn(async move {
            if let Err(left) = giving_up.await {
                tracing::debug!("{left}");
            }
        });
    }
}
