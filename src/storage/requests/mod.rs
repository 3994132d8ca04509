//! Requests to a remote store: limited in number and bandwidth, each with
//! a time limit, and tried again while that makes sense. The one place that repeats a request.

mod progress;
mod rate;
mod retry;
#[cfg(feature = "_http")]
mod watched;

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

pub use progress::Progress;
pub use rate::Rate;
pub use retry::{Attempts, RetryPolicy};
#[cfg(feature = "_http")]
pub use watched::Watched;

use super::{Error, ErrorKind, Result};

/// Bytes a second below which a body counts as standing still.
const RATE_MIN: u64 = 16 << 10;

/// How many, how fast, how long.
#[derive(Clone, Debug)]
pub struct RequestOptions {
    /// Requests under way at a time.
    pub at_once_max: usize,
    /// Bytes a second, of both directions together; `None` for as fast as it goes.
    pub rate_max: Option<u64>,
    /// The longest time in which nothing may move: no answer, no byte of a body.
    pub timeout: Duration,
    /// When a failed request is tried again.
    pub retry: RetryPolicy,
}

impl Default for RequestOptions {
    fn default() -> Self {
        Self {
            at_once_max: 32,
            rate_max: None,
            timeout: Duration::from_secs(60),
            retry: RetryPolicy::default(),
        }
    }
}

/// Sends the requests of one store; clones share its limits.
#[derive(Clone, Debug)]
pub struct Requests {
    permits: Arc<Semaphore>,
    rate: Option<Arc<Rate>>,
    timeout: Duration,
    retry: RetryPolicy,
}

impl Requests {
    /// Requests under these limits.
    pub fn new(options: &RequestOptions) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(options.at_once_max.max(1))),
            rate: options.rate_max.map(|rate| Arc::new(Rate::new(rate))),
            timeout: options.timeout,
            retry: options.retry.clone(),
        }
    }

    /// Sends a request that can be sent any number of times, with `bytes` of body; `send` makes one attempt. An
    /// attempt in which nothing moves for as long as the time limit is `Transient`; the last error is returned when the
    /// policy gives up. The time in which it waits for its turn does not count.
    pub async fn run<T, F, R>(
        &self,
        operation: &'static str,
        object: &str,
        bytes: u64,
        mut send: F,
    ) -> Result<T>
    where
        F: FnMut() -> R + Send,
        R: Future<Output = Result<T>> + Send,
    {
        let mut attempts = self.retry.begin();
        loop {
            let sent = {
                let queued = Instant::now();
                let _permit = self.permit().await;
                self.spend(bytes).await;
                attempts.leave_out(queued.elapsed());
                self.bounded(operation, object, bytes, send()).await
            };
            match sent {
                Err(error) if error.kind() == ErrorKind::Transient => {
                    let Some(wait) = attempts.next_wait(error.retry_after()) else {
                        return Err(error);
                    };
                    tracing::debug!("{error}; retrying in {} ms", wait.as_millis());
                    tokio::time::sleep(wait).await;
                }
                done => return done,
            }
        }
    }

    /// Waits for `work`, which moves `bytes` of body, until nothing has moved for as long as the time limit.
    pub async fn bounded<T>(
        &self,
        operation: &'static str,
        object: &str,
        bytes: u64,
        work: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let (progress, began) = (Progress::default(), Instant::now());
        let longest = self.timeout + Duration::from_secs(bytes / RATE_MIN);
        let mut work = std::pin::pin!(progress.of(work));
        let mut seen = 0;
        loop {
            if let Ok(done) = tokio::time::timeout(self.timeout, &mut work).await {
                return done;
            }
            let moved = progress.count();
            if moved == seen || began.elapsed() >= longest {
                return Err(Error::new(ErrorKind::Transient, operation, object)
                    .caused_by(format!("no response within {} s", self.timeout.as_secs_f32())));
            }
            seen = moved;
        }
    }

    /// Waits until `bytes` may be sent or received.
    pub async fn spend(&self, bytes: u64) {
        if let Some(rate) = &self.rate
            && bytes > 0
        {
            rate.spend(bytes).await;
        }
    }

    /// The policy for a failed request.
    pub fn retry(&self) -> &RetryPolicy {
        &self.retry
    }

    /// A place among the requests under way; held while the body of an answer is read.
    pub async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed, so there always is one.
        self.permits.clone().acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests;
