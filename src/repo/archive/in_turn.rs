//! What threads use one after the other, in an order that was agreed on before.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Something that is used in the order of turns, counted from 0. Who comes too early waits; after
/// [`give_up`](Self::give_up) nobody waits any more.
pub(super) struct InTurn<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    next: u64,
    given_up: bool,
    what: T,
}

impl<T> InTurn<T> {
    pub(super) fn new(what: T) -> Self {
        let state = Mutex::new(State { next: 0, given_up: false, what });
        Self { state, changed: Condvar::new() }
    }

    /// Waits for the turn and uses it; `None` where it will never come.
    pub(super) fn run<R>(&self, turn: u64, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        let early = |state: &mut State<T>| state.next != turn && !state.given_up;
        let waited = self.changed.wait_while(lock(&self.state), early);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.given_up {
            return None;
        }
        let done = work(&mut state.what);
        state.next += 1;
        self.changed.notify_all();
        Some(done)
    }

    /// There will be no more turns: a user failed before or in its own.
    pub(super) fn give_up(&self) {
        lock(&self.state).given_up = true;
        self.changed.notify_all();
    }

    /// What was used; `None` after it was given up.
    pub(super) fn into_inner(self) -> Option<T> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        (!state.given_up).then_some(state.what)
    }
}

/// Locks, also after a panic of another thread: that thread gives up what it used.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    #[test]
    fn the_order_is_that_of_the_turns_and_not_of_the_threads() {
        let line = Arc::new(InTurn::new(Vec::new()));
        let threads = [5, 3, 4, 1, 2, 0].map(|turn| {
            let line = Arc::clone(&line);
            thread::spawn(move || line.run(turn, |seen| seen.push(turn)))
        });
        for thread in threads {
            assert_eq!(thread.join().unwrap(), Some(()));
        }
        let line = Arc::into_inner(line).unwrap();
        assert_eq!(line.into_inner().unwrap(), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn nobody_waits_for_a_turn_that_will_not_come() {
        let line = Arc::new(InTurn::new(()));
        let waiting = {
            let line = Arc::clone(&line);
            thread::spawn(move || line.run(1, |()| ()))
        };
        let failing = {
            let line = Arc::clone(&line);
            thread::spawn(move || line.run(0, |()| panic!("a sink that panics")))
        };
        assert!(failing.join().is_err());
        line.give_up();
        assert_eq!(waiting.join().unwrap(), None);
        assert_eq!(line.run(0, |()| ()), None);
        assert!(Arc::into_inner(line).unwrap().into_inner().is_none());
    }
}
