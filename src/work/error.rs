//! Why a thread or a task did not do its work. Errors of the work itself are part of its result.

use std::{any::Any, io};

use tokio::task::JoinError;

use crate::types::{ErrorCode, Failure};

/// Work that did not start or did not finish.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused a new thread.
    #[error("unable to start a thread: {0}")]
    Thread(#[source] io::Error),
    /// The work panicked.
    #[error("a worker panicked: {0}")]
    Panicked(String),
    /// The work was cancelled.
    #[error("a worker was cancelled")]
    Cancelled,
}

impl Error {
    /// The error for a panic, with its message if it is text.
    pub(super) fn panicked(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        Self::Panicked(text.unwrap_or_else(|| "no message".to_owned()))
    }
}

impl From<JoinError> for Error {
    fn from(error: JoinError) -> Self {
        match error.try_into_panic() {
            Ok(payload) => Self::panicked(&*payload),
            Err(_) => Self::Cancelled,
        }
    }
}

impl Failure for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Thread(_) => ErrorCode::Kernel,
            Self::Panicked(_) | Self::Cancelled => ErrorCode::Assert,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Thread(_) => {
                "raise the limit of processes of this user or service (ulimit -u, TasksMax, the pids limit of a container)"
            }
            Self::Panicked(_) | Self::Cancelled => "this is a bug: please report it with the log",
        };
        Some(text.to_owned())
    }
}
