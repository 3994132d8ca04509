//! A run of the program that a test interrupts.

use rustix::process::{Pid, Signal, kill_process};

use super::outcome::{Collected, Outcome};

/// A running program; killed when dropped.
pub(crate) struct Background(Option<Collected>);

impl Background {
    pub(crate) fn new(started: Collected) -> Self {
        Self(Some(started))
    }

    fn pid(&self) -> Option<Pid> {
        let id = self.0.as_ref()?.id();
        Pid::from_raw(i32::try_from(id).ok()?)
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.0.as_ref().expect("not finished").id()
    }

    /// Whether it still runs.
    pub(crate) fn running(&mut self) -> bool {
        self.0.as_mut().is_some_and(Collected::running)
    }

    /// Sends a signal and waits for the end.
    #[track_caller]
    pub(crate) fn signal(self, signal: Signal) -> Outcome {
        kill_process(self.pid().expect("running"), signal).expect("our own child");
        self.finish()
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Outcome {
        self.0.take().expect("not finished").finish()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let Some(pid) = self.pid() else { return };
        if self.running() {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}
