//! Keeps the progress of a backup in its lock file too, where `info` on another terminal finds it.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::{repo::lock::Lock, types::ProgressSink};

/// Minimum number of bytes between two writes to the lock file, whatever the size of the backup.
const STEP_MIN: u64 = 16 << 20;

/// Passes progress on, and writes it to the lock file now and then. Holds the lock.
pub(super) struct LockProgress {
    lock: Mutex<Lock>,
    shown: Arc<dyn ProgressSink>,
    total: AtomicU64,
    done: AtomicU64,
    next: AtomicU64,
}

impl LockProgress {
    pub(super) fn new(lock: Lock, shown: Arc<dyn ProgressSink>) -> Self {
        Self {
            lock: Mutex::new(lock),
            shown,
            total: AtomicU64::new(0),
            done: AtomicU64::new(0),
            next: AtomicU64::new(0),
        }
    }

    fn write(&self, done: u64) {
        let total = self.total.load(Relaxed);
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        // The lock itself holds; only what info shows of it would be old.
        if let Err(error) = lock.progress((total > 0).then_some(total), done) {
            tracing::debug!("unable to write the progress for info: {error}");
        }
        self.next.store(done + STEP_MIN.max(total / 100), Relaxed);
    }
}

impl ProgressSink for LockProgress {
    fn start(&self, total: Option<u64>) {
        self.total.store(total.unwrap_or(0), Relaxed);
        self.write(0);
        self.shown.start(total);
    }

    fn advance(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Relaxed) + bytes;
        if done >= self.next.load(Relaxed) {
            self.write(done);
        }
        self.shown.advance(bytes);
    }

    fn finish(&self) {
        self.shown.finish();
    }
}
