//! Reading an object. A body that breaks off is asked for again from where it stopped.

use std::{pin::Pin, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use super::{
    super::{Download, Error, ErrorKind, Result, requests::Attempts},
    Body,
    objects::Objects,
};

pub(super) struct BucketDownload {
    objects: Arc<Objects>,
    key: String,
    name: String,
    size: u64,
    offset: u64,
    bytes: Option<Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>>,
    attempts: Attempts,
}

impl BucketDownload {
    pub(super) async fn open(objects: Arc<Objects>, key: String) -> Result<Self> {
        let name = objects.name(&key);
        let open = || objects.api.get(&key, None);
        let body = objects.requests.run("read", &name, 0, open).await?;
        let attempts = objects.requests.retry().begin();
        let Body { size, bytes } = body;
        Ok(Self { objects, key, name, size, offset: 0, bytes: Some(bytes), attempts })
    }

    async fn reopen(&mut self) -> Result<()> {
        let range = self.offset..self.size;
        let open = || self.objects.api.get(&self.key, Some(range.clone()));
        let body = self.objects.requests.run("read", &self.name, 0, open).await?;
        if body.size != self.size {
            return Err(Error::new(ErrorKind::Other, "read", &*self.name)
                .caused_by("it changed while it was read"));
        }
        self.bytes = Some(body.bytes);
        Ok(())
    }

    /// The next bytes of the body at hand; one that ends too early is an error.
    async fn receive(&mut self) -> Result<Bytes> {
        let Some(bytes) = self.bytes.as_mut() else { return Ok(Bytes::new()) };
        let (size, offset, name) = (self.size, self.offset, &*self.name);
        let received = async {
            match bytes.next().await {
                Some(chunk) => chunk,
                None => Err(Error::new(ErrorKind::Transient, "read", name)
                    .caused_by(format!("the body ended after {offset} of {size} bytes"))),
            }
        };
        let chunk = self.objects.requests.bounded("read", name, 0, received).await?;
        let left = (size - offset) as usize;
        if chunk.len() > left {
            return Err(Error::new(ErrorKind::Other, "read", name)
                .caused_by("more bytes were received than the object has"));
        }
        Ok(chunk)
    }

    async fn wait_after(&mut self, error: Error) -> Result<()> {
        self.bytes = None;
        if error.kind() != ErrorKind::Transient {
            return Err(error);
        }
        let Some(wait) = self.attempts.next_wait(error.retry_after()) else { return Err(error) };
        tracing::debug!("{error}; retrying in {} ms", wait.as_millis());
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

#[async_trait]
impl Download for BucketDownload {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        // The reader may have taken any time since the last bytes.
        self.attempts.reset();
        while self.offset < self.size {
            if self.bytes.is_none() {
                self.reopen().await?;
            }
            match self.receive().await {
                Ok(chunk) if chunk.is_empty() => {}
                Ok(chunk) => {
                    self.offset += chunk.len() as u64;
                    self.objects.requests.spend(chunk.len() as u64).await;
                    return Ok(Some(chunk));
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
