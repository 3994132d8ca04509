//! Writing an object of unknown length: up to a size in one request, beyond that in parts, a few at a time. Memory is
//! bounded: what is gathered, and the parts under way.

use std::{mem::take, sync::Arc};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::{sync::OnceCell, task::JoinSet};

use super::{
    super::{Error, ErrorKind, Result, Upload},
    objects::Objects,
};

/// Parts of one object under way at a time.
const PARTS_AT_ONCE: usize = 4;
/// Number of parts after which the part size grows by the first size: stores allow 10,000 parts.
const PARTS_OF_A_SIZE: usize = 1000;

pub(super) struct BucketUpload {
    objects: Arc<Objects>,
    key: String,
    /// Bytes not yet sent: of an object that may yet be sent whole, or less than a part.
    gathered: BytesMut,
    /// The upload id, which the first part requests. The writer does not wait for it.
    upload: Arc<OnceCell<String>>,
    parts: Vec<Option<Part>>,
    under_way: JoinSet<Sent>,
    finished: bool,
}

/// A part that the store has: its name, and what it holds. By that an object is known again whose completion was not
/// answered.
#[derive(Clone)]
struct Part {
    name: String,
    size: u64,
    digest: blake3::Hash,
}

/// A part with its place.
type Sent = Result<(usize, Part)>;

/// What stands under the name of an upload after an answer was lost.
#[derive(PartialEq, Eq)]
enum Standing {
    Nothing,
    /// What was written.
    Ours,
    Another,
}

impl BucketUpload {
    pub(super) fn new(objects: Arc<Objects>, key: String) -> Self {
        Self {
            objects,
            key,
            gathered: BytesMut::new(),
            upload: Arc::default(),
            parts: Vec::new(),
            under_way: JoinSet::new(),
            finished: false,
        }
    }

    fn part_size(&self) -> usize {
        self.objects.api.traits().part_size * (1 + self.parts.len() / PARTS_OF_A_SIZE)
    }

    async fn send_part(&mut self, data: Bytes) -> Result<()> {
        while self.under_way.len() >= PARTS_AT_ONCE {
            self.part_done().await?;
        }
        let index = self.parts.len();
        self.parts.push(None);
        let (objects, key, upload) = (self.objects.clone(), self.key.clone(), self.upload.clone());
        self.under_way.spawn(async move {
            let upload = upload.get_or_try_init(|| begin(&objects, &key)).await?;
            let number = index as u32 + 1;
            let send = || objects.api.put_part(&key, upload, number, data.clone());
            let size = data.len() as u64;
            let name = objects.requests.run("write", &objects.name(&key), size, send).await?;
            Ok((index, Part { name, size, digest: blake3::hash(&data) }))
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
        Error::new(ErrorKind::Other, "write", self.objects.name(&self.key))
    }

    async fn complete(&self) -> Result<()> {
        let upload = self.upload.get().ok_or_else(|| self.error().caused_by("no part was sent"))?;
        let parts: Option<Vec<Part>> = self.parts.iter().cloned().collect();
        let parts = parts.ok_or_else(|| self.error().caused_by("a part was not sent"))?;
        let names: Vec<String> = parts.iter().map(|part| part.name.clone()).collect();
        let mut attempts = 0;
        let complete = || {
            attempts += 1;
            async {
                self.objects.may_complete(&self.key).await?;
                self.objects.api.complete_parts(&self.key, upload, &names).await
            }
        };
        let done =
            self.objects.requests.run("write", &self.objects.name(&self.key), 0, complete).await;
        match done {
            Err(error) if attempts > 1 && error.kind() != ErrorKind::Transient => {
                self.settle(error, &parts).await
            }
            done => done,
        }
    }

    /// The answer of an attempt before the one that failed may be lost: then the upload is gone, and the object is
    /// there.
    async fn settle(&self, error: Error, parts: &[Part]) -> Result<()> {
        match self.standing(parts).await? {
            Standing::Nothing => Err(error),
            Standing::Another => {
                Err(Error::new(ErrorKind::AlreadyExists, "write", self.objects.name(&self.key)))
            }
            Standing::Ours => {
                tracing::debug!("{error}; an earlier attempt had succeeded");
                Ok(())
            }
        }
    }

    async fn standing(&self, parts: &[Part]) -> Result<Standing> {
        let written: u64 = parts.iter().map(|part| part.size).sum();
        match self.objects.size(&self.key).await? {
            None => return Ok(Standing::Nothing),
            Some(size) if size == written => {}
            Some(_) => return Ok(Standing::Another),
        }
        let mut offset = 0;
        for part in parts {
            let end = offset + part.size;
            if blake3::hash(&self.objects.read(&self.key, offset..end).await?) != part.digest {
                return Ok(Standing::Another);
            }
            offset = end;
        }
        Ok(Standing::Ours)
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
    fn giving_up(&mut self, patience: Patience) -> impl Future<Output = Result<()>> + Send + use<> {
        let (upload, under_way) = (take(&mut self.upload), take(&mut self.under_way));
        give_up(self.objects.clone(), self.key.clone(), upload, under_way, patience)
    }
}

/// How long a store is waited for that is to forget an upload.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// As for any request.
    Usual,
    /// It was not there for so long already: it is asked once. What it keeps is removed by an expire.
    Little,
}

async fn give_up(
    objects: Arc<Objects>,
    key: String,
    upload: Arc<OnceCell<String>>,
    mut under_way: JoinSet<Sent>,
    patience: Patience,
) -> Result<()> {
    // Its name may be on the way: without it, it could not be given up. Who ends first has it, or was refused it.
    if upload.get().is_none() && patience == Patience::Usual {
        under_way.join_next().await;
    }
    under_way.shutdown().await;
    let Some(upload) = upload.get() else { return Ok(()) };
    let (name, abort) = (objects.name(&key), || objects.api.abort_parts(&key, upload));
    match patience {
        Patience::Usual => objects.requests.run("delete", &name, 0, abort).await,
        Patience::Little => objects.requests.bounded("delete", &name, 0, abort()).await,
    }
}

async fn begin(objects: &Objects, key: &str) -> Result<String> {
    objects.requests.run("write", &objects.name(key), 0, || objects.api.begin_parts(key)).await
}

#[async_trait]
impl Upload for BucketUpload {
    async fn write(&mut self, mut data: Bytes) -> Result<()> {
        if self.parts.is_empty() {
            if self.gathered.len() + data.len() <= self.objects.api.traits().whole_max {
                self.gathered.extend_from_slice(&data);
                return Ok(());
            }
            while self.gathered.len() > self.part_size() {
                let part = self.gathered.split_to(self.part_size()).freeze();
                self.send_part(part).await?;
            }
        }
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
            return self.objects.create(&self.key, data).await;
        }
        match self.finish_parts().await {
            Ok(()) => {
                self.finished = true;
                Ok(())
            }
            Err(error) => {
                let patience = match error.kind() {
                    ErrorKind::Transient => Patience::Little,
                    _ => Patience::Usual,
                };
                // What is wrong is told; what cannot be removed now is removed by the next expire.
                if let Err(left) = self.giving_up(patience).await {
                    tracing::debug!("{left}");
                }
                Err(error)
            }
        }
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        self.giving_up(Patience::Usual).await
    }
}

impl Drop for BucketUpload {
    /// An upload that is dropped is given up, as far as there is still a runtime to do so.
    fn drop(&mut self) {
        if self.parts.is_empty() || self.finished {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let giving_up = self.giving_up(Patience::Usual);
        runtime.spawn(async move {
            if let Err(left) = giving_up.await {
                tracing::debug!("{left}");
            }
        });
    }
}
