//! Errors as the log shows them.

use std::panic::{self, PanicHookInfo};

use super::terminal::Terminal;
use crate::types::{ErrorCode, Failure};

/// Reports panics as one error line on standard error, which is the server log if PostgreSQL runs the program.
pub fn report_panics() {
    panic::set_hook(Box::new(|info| Terminal::default().write_err(&panic_line(info))));
}

fn panic_line(info: &PanicHookInfo<'_>) -> String {
    let what = info.payload_as_str().unwrap_or("unknown cause");
    let place = info.location().map(|at| format!(" ({}:{})", at.file(), at.line()));
    let text = format!("internal error: {what}{}", place.unwrap_or_default());
    super::log::early_line(ErrorCode::Assert.exit_code(), text, None)
}

/// Logs an error and returns the exit code.
pub fn report(error: &dyn Failure) -> u8 {
    let code = error.code().exit_code();
    let text = with_causes(error);
    match error.hint() {
        Some(hint) => tracing::error!(code = u64::from(code), hint = hint.as_str(), "{text}"),
        None => tracing::error!(code = u64::from(code), "{text}"),
    }
    code
}

/// The line for an error before the log is open, and the exit code.
pub(super) fn early(error: &dyn Failure) -> (String, u8) {
    let code = error.code().exit_code();
    (super::log::early_line(code, with_causes(error), error.hint()), code)
}

/// The text of an error and of its sources, without sources that the text already contains.
fn with_causes(error: &dyn Failure) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Sample {
        #[error("unable to read 'x': {0}")]
        Repeats(#[source] std::io::Error),
        #[error("unable to read 'x'")]
        Omits(#[source] std::io::Error),
    }

    impl Failure for Sample {
        fn code(&self) -> ErrorCode {
            ErrorCode::FileRead
        }

        fn hint(&self) -> Option<String> {
            Some("look.\nlook again.".into())
        }
    }

    #[test]
    fn a_cause_is_shown_once() {
        let cause = || std::io::Error::other("disk gone");
        let expected = "P00  ERROR: [042]: unable to read 'x': disk gone\n            \
                        HINT: look.\n            HINT: look again.\n";
        assert_eq!(early(&Sample::Repeats(cause())), (expected.into(), 42));
        assert_eq!(early(&Sample::Omits(cause())), (expected.into(), 42));
    }
}
