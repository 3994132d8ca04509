//! SIGTERM, SIGINT and SIGHUP end a command in an orderly way.

use std::future::Future;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Error, Result};

/// The signals that ask to stop. Listening begins before a lock is taken: `stop --force` signals
/// whoever holds one.
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
        tokio::select! {
            result = work => result,
            _ = self.terminate.recv() => Err(Error::Terminated("SIGTERM")),
            _ = self.interrupt.recv() => Err(Error::Terminated("SIGINT")),
            _ = self.hang_up.recv() => Err(Error::Terminated("SIGHUP")),
        }
    }
}
