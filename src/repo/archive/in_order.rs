//! A value that several threads use in a fixed order.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A value that is used once for each index, in ascending order from 0, whichever thread comes first. A thread that
/// comes early waits. After [`abort`](Self::abort) nobody waits any more.
pub(super) struct InOrder<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    next: u64,
    aborted: bool,
    value: T,
}

impl<T> InOrder<T> {
    pub(super) fn new(value: T) -> Self {
        let state = Mutex::new(State { next: 0, aborted: false, value });
        Self { state, changed: Condvar::new() }
    }

    /// Waits for the turn of `index` and runs `work`; `None` after an abort.
    pub(super) fn run<R>(&self, index: u64, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        let early = |state: &mut State<T>| state.next != index && !state.aborted;
        let waited = self.changed.wait_while(lock(&self.state), early);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.aborted {
            return None;
        }
        let done = work(&mut state.value);
        state.next += 1;
        self.changed.notify_all();
        Some(done)
    }

    pub(super) fn abort(&self) {
        lock(&self.state).aborted = true;
        self.changed.notify_all();
    }

    /// The value; `None` after an abort, because it is incomplete then.
    pub(super) fn into_inner(self) -> Option<T> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        (!state.aborted).then_some(state.value)
    }
}

/// Locks a mutex even if it is poisoned: the thread that panicked aborts the read, so nothing it left is used.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    #[test]
    fn threads_use_the_value_in_index_order() {
        let shared = Arc::new(InOrder::new(Vec::new()));
        let threads = [5, 3, 4, 1, 2, 0].map(|turn| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.run(turn, |seen| seen.push(turn)))
        });
        for thread in threads {
            assert_eq!(thread.join().unwrap(), Some(()));
        }
        let shared = Arc::into_inner(shared).unwrap();
        assert_eq!(shared.into_inner().unwrap(), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn an_abort_ends_every_wait() {
        let shared = Arc::new(InOrder::new(()));
        let waiting = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.run(1, |()| ()))
        };
        let failing = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.run(0, |()| panic!("a sink that panics")))
        };
        assert!(failing.join().is_err());
        shared.abort();
        assert_eq!(waiting.join().unwrap(), None);
        assert_eq!(shared.run(0, |()| ()), None);
        assert!(Arc::into_inner(shared).unwrap().into_inner().is_none());
    }
}
