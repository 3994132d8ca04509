//! Requests under way at a time, answered in the order in which they were sent.
//!
//! A request is sent as soon as it is added, not when a task waits for its response: that keeps the line to the server
//! full while the caller does something else.

use std::{collections::VecDeque, future::Future, pin::Pin};

use futures_util::{FutureExt, future::MaybeDone};

type UnderWay<T> = Pin<Box<MaybeDone<Pin<Box<dyn Future<Output = T> + Send>>>>>;

pub(super) struct Window<T>(VecDeque<UnderWay<T>>);

impl<T: Send> Window<T> {
    pub(super) fn new() -> Self {
        Self(VecDeque::new())
    }

    /// Sends a request.
    pub(super) fn push(&mut self, request: impl Future<Output = T> + Send + 'static) {
        let boxed: Pin<Box<dyn Future<Output = T> + Send>> = Box::pin(request);
        let mut request = Box::pin(futures_util::future::maybe_done(boxed));
        // The first poll sends it; it is polled again when its answer is waited for.
        let _ = request.as_mut().now_or_never();
        self.0.push_back(request);
    }

    /// The answer to the oldest request, `None` where none is under way. Given up while waiting, it loses nothing.
    pub(super) async fn next(&mut self) -> Option<T> {
        self.0.front_mut()?.as_mut().await;
        self.0.pop_front()?.as_mut().take_output()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_are_sent_at_once_and_answered_in_order() {
        let mut window = Window::new();
        let (sent, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let (late, wait) = tokio::sync::oneshot::channel();
        let first = sent.clone();
        window.push(async move {
            first.send(1).unwrap();
            wait.await.unwrap();
            1
        });
        window.push(async move {
            sent.send(2).unwrap();
            2
        });
        assert_eq!((seen.try_recv(), seen.try_recv()), (Ok(1), Ok(2)));
        assert_eq!(window.next().now_or_never(), None);
        late.send(()).unwrap();
        assert_eq!((window.next().await, window.next().await), (Some(1), Some(2)));
        assert_eq!((window.next().await, window.len()), (None, 0));
    }
}
