//! Lets work on a blocking thread notice that its caller was cancelled.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{restore::Error, work};

/// Held by the waiting side; dropping it cancels the work.
#[derive(Debug, Default)]
pub(super) struct Waiting(Arc<AtomicBool>);

/// Held by the working side.
#[derive(Clone, Debug)]
pub(super) struct Cancelled(Arc<AtomicBool>);

impl Waiting {
    pub(super) fn token(&self) -> Cancelled {
        Cancelled(Arc::clone(&self.0))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Cancelled {
    /// An error if the caller was cancelled.
    pub(super) fn check(&self) -> Result<(), Error> {
        match self.0.load(Ordering::Relaxed) {
            true => Err(work::Error::Cancelled.into()),
            false => Ok(()),
        }
    }
}

/// Runs `work` on a thread where it may block; it is told when this future is dropped.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce(&Cancelled) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let waiting = Waiting::default();
    let token = waiting.token();
    let result = work::blocking(move || work(&token)).await;
    drop(waiting);
    result?
}
