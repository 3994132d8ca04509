//! Threads that work on one file. Those of the runtime panic where the system gives none; archive-get must rather say so.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::sync::oneshot;

use super::Error;

/// A thread at work.
pub(super) struct Working<T>(oneshot::Receiver<T>);

/// Starts `work` on a thread of its own. Where this is dropped, the work continues to its end.
pub(super) fn start<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Working<T>, Error> {
    let (done, result) = oneshot::channel();
    let work = move || {
        // Without a receiver the file is given up.
        let _ = done.send(work());
    };
    std::thread::Builder::new().spawn(work).map_err(|source| Error::Thread { source })?;
    Ok(Working(result))
}

/// What the work came to.
impl<T> Future for Working<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let done = ready!(Pin::new(&mut self.0).poll(context));
        Poll::Ready(done.map_err(|_| Error::WorkerStopped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_result_and_a_panic_are_told_apart() {
        assert_eq!(start(|| 7).unwrap().await.unwrap(), 7);
        let stopped = start(|| panic!("on purpose")).unwrap().await;
        assert!(matches!(stopped, Err(Error::WorkerStopped)));
    }
}
