//! SIGTERM, SIGINT and SIGHUP end a command in an orderly way.

use std::{future::Future, pin::pin};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Error, Result};
use crate::repo::publication::Shield;

/// The signals that ask to stop. Listening begins before a lock is taken: `stop --force` signals
/// the process that holds one.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// From here on the signals no longer end the process by themselves.
    pub(super) fn listen() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Runs `work` until it ends or a signal asks to stop, also one that came since [`Signals::listen`];
    /// then `work` is dropped, which frees what it holds.
    pub(super) async fn guard<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.guard_shielded(&Shield::default(), work).await
    }

    /// The same for work with steps that must not be interrupted: one that is under way when the signal comes is waited
    /// for, and no other is begun.
    pub(super) async fn guard_shielded<T>(
        &mut self,
        shield: &Shield,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let mut work = pin!(work);
        let signal = tokio::select! {
            result = &mut work => return result,
            signal = self.asked() => signal,
        };
        tokio::select! {
            result = work => result,
            () = shield.wait_idle() => Err(Error::Terminated(signal)),
        }
    }

    async fn asked(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hang_up.recv() => "SIGHUP",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_step_that_cannot_be_taken_back_is_not_cut_short() {
        let mut signals = Signals::listen().unwrap();
        let shield = Shield::default();
        let published = std::cell::Cell::new(false);
        let work = async {
            shield
                .protect(async {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    published.set(true);
                })
                .await;
            tokio::time::sleep(Duration::from_secs(100)).await;
            Ok(())
        };
        let ask = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let this = rustix::process::getpid();
            rustix::process::kill_process(this, rustix::process::Signal::HUP).unwrap();
        };
        let (ended, ()) = tokio::join!(signals.guard_shielded(&shield, work), ask);
        assert!(matches!(ended, Err(Error::Terminated("SIGHUP"))), "{ended:?}");
        assert!(published.get());
    }
}
