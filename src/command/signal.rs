//! SIGTERM, SIGINT and SIGHUP end a command in an orderly way.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};

use super::{Error, Result};

/// Runs `work` until it ends or a signal asks to stop; then `work` is dropped, which frees what it holds.
pub(super) async fn or_terminated<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        result = work => result,
        _ = terminate.recv() => Err(Error::Terminated("SIGTERM")),
        _ = interrupt.recv() => Err(Error::Terminated("SIGINT")),
        _ = hang_up.recv() => Err(Error::Terminated("SIGHUP")),
    }
}
