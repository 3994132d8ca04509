//! Signs of life of a request. A large body over a slow line takes longer than any good limit for an answer; what may
//! not happen is that nothing moves.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

tokio::task_local! {
    static CURRENT: Progress;
}

/// Counts what moved in the request of the task.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// That of the request that this task is at; one that nobody looks at outside of a request.
    pub fn current() -> Self {
        CURRENT.try_with(Clone::clone).unwrap_or_default()
    }

    /// Something moved.
    pub fn made(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) async fn of<T>(&self, work: impl Future<Output = T>) -> T {
        CURRENT.scope(self.clone(), work).await
    }
}
