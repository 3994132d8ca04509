//! Standard output and standard error, shared by the log and the progress bar, so that log lines do not break the bar.

use std::{
    io::{self, IsTerminal, Write},
    sync::{Mutex, PoisonError},
};

use indicatif::ProgressBar;

/// The two streams and the current progress bar.
#[derive(Default)]
pub(super) struct Terminal {
    bar: Mutex<Option<ProgressBar>>,
}

impl Terminal {
    /// Writes to standard output. Errors are ignored: a closed stream does not stop the command.
    pub(super) fn write_out(&self, text: &str) {
        self.beside_bar(|| {
            let _ = io::stdout().lock().write_all(text.as_bytes());
        });
    }

    /// Writes to standard error; see [`Self::write_out`].
    pub(super) fn write_err(&self, text: &str) {
        self.beside_bar(|| {
            let _ = io::stderr().lock().write_all(text.as_bytes());
        });
    }

    /// Whether lines on standard output may be coloured.
    pub(super) fn colors_out(&self) -> bool {
        wants_colors() && io::stdout().is_terminal()
    }

    /// Whether lines on standard error may be coloured.
    pub(super) fn colors_err(&self) -> bool {
        wants_colors() && io::stderr().is_terminal()
    }

    /// Sets or removes the current progress bar.
    pub(super) fn set_bar(&self, bar: Option<ProgressBar>) {
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = bar;
    }

    fn beside_bar(&self, write: impl FnOnce()) {
        match &*self.bar.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

/// By <https://no-color.org>, any non-empty value disables colors.
fn wants_colors() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
