//! A single background task.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::task::JoinHandle;

use super::{Error, Result};

/// A running task. Dropping it aborts it.
#[derive(Debug)]
pub struct Task<T>(JoinHandle<T>);

impl<T: Send + 'static> Task<T> {
    /// Starts `work`, which runs whether it is awaited or not.
    pub fn start(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let done = ready!(Pin::new(&mut self.0).poll(context));
        Poll::Ready(done.map_err(Error::from))
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_task_gives_its_result_or_its_panic() {
        assert_eq!(Task::start(async { 7 }).await.unwrap(), 7);
        let error = Task::<()>::start(async { panic!("on purpose") }).await.unwrap_err();
        assert!(matches!(error, Error::Panicked(text) if text == "on purpose"));
    }

    #[tokio::test]
    async fn a_task_that_is_dropped_is_aborted() {
        let (held, ended) = oneshot::channel::<()>();
        let task = Task::start(async move {
            std::future::pending::<()>().await;
            drop(held);
        });
        drop(task);
        assert!(ended.await.is_err());
    }
}
