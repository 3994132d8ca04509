//! How requests go to a store that is reached over a network: so many at a time, so many bytes a second, each with
//! a time limit, and tried again while that makes sense. The one place that repeats a request.

mod rate;
mod retry;

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

pub use rate::Rate;
pub use retry::{Attempts, RetryPolicy};

use super::{Error, ErrorKind, Result};

/// How many, how fast, how long.
#[derive(Clone, Debug)]
pub struct RequestOptions {
    /// Requests under way at a time.
    pub at_once_max: usize,
    /// Bytes a second, of both directions together; `None` for as fast as it goes.
    pub rate_max: Option<u64>,
    /// The longest time that one request may take, or that a body may stand still.
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
    /// attempt that takes longer than the time limit is `Transient`; the last error is returned when the policy
    /// gives up. The time in which it waits for its turn does not count.
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
                self.bounded(operation, object, send()).await
            };
            match sent {
                Err(error) if error.kind() == ErrorKind::Transient => {
                    let Some(wait) = attempts.next_wait(error.retry_after()) else {
                        return Err(error);
                    };
                    tracing::debug!("{error}; tried again in {} ms", wait.as_millis());
                    tokio::time::sleep(wait).await;
                }
                done => return done,
            }
        }
    }

    /// Waits for `work` no longer than the time limit.
    pub async fn bounded<T>(
        &self,
        operation: &'static str,
        object: &str,
        work: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        match tokio::time::timeout(self.timeout, work).await {
            Ok(done) => done,
            Err(_) => Err(Error::new(ErrorKind::Transient, operation, object)
                .caused_by(format!("no answer within {} s", self.timeout.as_secs_f32()))),
        }
    }

    /// Waits until so many bytes may be sent or received.
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
