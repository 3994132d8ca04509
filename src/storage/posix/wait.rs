//! Time limits of file operations. A call into a file system that does not respond, such as NFS whose server is down,
//! never returns, so another thread than the caller's must check the limit.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::storage::{Error, ErrorKind};

/// No file operation takes longer, whatever its size: it is a request, a listing or a thousand deletes.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(3600);

/// Bytes per second below which a disk counts as hanging. A slow disk must be able to finish a large fsync.
const RATE_MIN: u64 = 1 << 20;

/// No operation is running.
const IDLE: u64 = u64::MAX;

/// Shows other threads how long the current file operation of a thread may take.
#[derive(Clone, Debug)]
pub struct FileWatch(Arc<State>);

#[derive(Debug)]
struct State {
    origin: Instant,
    /// Deadline of the running operation, in milliseconds after `origin`.
    due_ms: AtomicU64,
    bound: Mutex<Bound>,
}

/// The time limit of a file operation, and the repository for the error message.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub(super) wait_max: Duration,
    pub(super) location: String,
}

impl Default for FileWatch {
    fn default() -> Self {
        let bound = Bound { wait_max: WAIT_MAX, location: "files".to_owned() };
        let (origin, due_ms) = (Instant::now(), AtomicU64::new(IDLE));
        Self(Arc::new(State { origin, due_ms, bound: Mutex::new(bound) }))
    }
}

impl FileWatch {
    /// Sets the longest time that a file operation may take.
    pub fn give_up_after(&self, wait_max: Duration) {
        self.bound().wait_max = wait_max;
    }

    /// The longest time that a file operation may take.
    pub fn wait_max(&self) -> Duration {
        self.bound().wait_max
    }

    /// The error of the running operation, once its deadline has passed.
    pub fn overdue(&self) -> Option<Error> {
        let due = self.0.due_ms.load(Ordering::Relaxed);
        (self.now_ms() >= due).then(|| self.bound().exceeded())
    }

    /// Runs a file operation that reads or writes `bytes`. Only one may run at a time.
    pub fn run<T>(&self, bytes: u64, work: impl FnOnce() -> T) -> T {
        let due = self.0.origin.elapsed() + self.bound().wait_for(bytes);
        self.0.due_ms.store(due.as_millis() as u64, Ordering::Relaxed);
        let done = work();
        self.0.due_ms.store(IDLE, Ordering::Relaxed);
        done
    }

    pub(super) fn located(self, location: String) -> Self {
        self.bound().location = location;
        self
    }

    fn now_ms(&self) -> u64 {
        self.0.origin.elapsed().as_millis() as u64
    }

    fn bound(&self) -> MutexGuard<'_, Bound> {
        self.0.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bound {
    /// The longest time of an operation that reads or writes `bytes`.
    pub(super) fn wait_for(&self, bytes: u64) -> Duration {
        self.wait_max + Duration::from_secs(bytes / RATE_MIN)
    }

    pub(super) fn exceeded(&self) -> Error {
        let why =
            format!("a file operation did not finish within {}s", self.wait_max.as_secs_f32());
        Error::new(ErrorKind::Transient, "use", &*self.location)
            .caused_by(why)
            .with_hint("does the file system of the repository respond?")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_work_that_takes_too_long_is_overdue() {
        let watch = FileWatch::default().located("/repo".to_owned());
        watch.give_up_after(Duration::ZERO);
        assert!(watch.overdue().is_none(), "nothing is under way");
        let seen = watch.run(0, || watch.overdue().map(|error| error.to_string()));
        assert_eq!(
            seen.as_deref(),
            Some("unable to use '/repo': a file operation did not finish within 0s")
        );
        assert!(watch.overdue().is_none());
        watch.give_up_after(WAIT_MAX);
        assert!(watch.run(0, || watch.overdue()).is_none(), "it has just begun");
        watch.give_up_after(Duration::ZERO);
        assert!(watch.run(16 << 20, || watch.overdue()).is_none(), "a disk may take its time");
    }
}
