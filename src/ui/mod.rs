//! Terminal output: log lines, progress, tables, sizes. No other code except `main` prints.

mod escape;
mod format;
pub mod info;
mod log;
mod progress;
mod report;
mod table;
mod terminal;

use std::{
    io::{self, IsTerminal, Write},
    sync::Arc,
    time::Instant,
};

pub use escape::{Escaped, name};
pub use format::{duration, size};
pub use log::DETAIL;
pub use report::{report, report_panics};
pub use table::table;
use terminal::Terminal;
use tracing::{debug, info, warn};

use crate::{
    config::{CommandName, Config, LogFormat, LogLevel},
    types::{Failure, ProgressSink},
};

/// The terminal of one command.
pub struct Ui {
    terminal: Arc<Terminal>,
    command: &'static str,
    announced: bool,
    has_bar: bool,
    started: Instant,
}

impl Ui {
    /// Opens the log, and logs the start of the command and the warnings of the configuration.
    pub fn start(config: &Config) -> Self {
        let terminal = Arc::new(Terminal::default());
        log::install(config, &terminal);
        let quiet = config.log.console.max(config.log.stderr) < LogLevel::Warn;
        let text = config.log.format == LogFormat::Text;
        let spec = config.command.spec();
        let ui = Self {
            terminal,
            command: spec.word,
            announced: spec.announced,
            has_bar: text && !quiet && io::stderr().is_terminal(),
            started: Instant::now(),
        };
        let options = config.shown_options.join(" ");
        let version = env!("CARGO_PKG_VERSION");
        ui.announce(&format!("{} command begin {version}: {options}", ui.command));
        for warning in &config.warnings {
            warn!("{warning}");
        }
        ui
    }

    /// Logs the error, if any, and the end of the command. Returns the exit code.
    pub fn end(&self, result: Result<(), &dyn Failure>) -> u8 {
        let code = result.err().map_or(0, report);
        let how = match code {
            0 => format!("completed successfully ({}ms)", self.started.elapsed().as_millis()),
            code => format!("aborted with exception [{code:03}]"),
        };
        self.announce(&format!("{} command end: {how}", self.command));
        code
    }

    /// Shows the progress of an operation: a bar on a terminal, otherwise log lines.
    pub fn progress(&self, what: &'static str) -> Arc<dyn ProgressSink> {
        if self.has_bar {
            Arc::new(progress::Bar::new(what, self.terminal.clone()))
        } else {
            Arc::new(progress::Lines::new(what))
        }
    }

    fn announce(&self, text: &str) {
        if self.announced { info!("{text}") } else { debug!("{text}") }
    }
}

/// Standard output for the result of a command. Control characters are escaped, except in the content of an object,
/// which is written unchanged to a file or pipe.
pub fn output(config: &Config) -> Box<dyn Write> {
    let out = io::stdout();
    if config.command == CommandName::RepoGet && !out.is_terminal() {
        Box::new(out)
    } else {
        Box::new(Escaped::new(out))
    }
}

/// Writes the result of a command to standard output. A closed pipe, as with `head`, is not an error.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes an error to standard error before the log is open. Returns the exit code.
pub fn report_early(error: &dyn Failure) -> u8 {
    let (line, code) = report::early(error);
    Terminal::default().write_err(&line);
    code
}
