//! The terminal: log lines, progress, tables, sizes. The only code besides `main` that prints.

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

/// The terminal of one run.
pub struct Ui {
    terminal: Arc<Terminal>,
    command: &'static str,
    announced: bool,
    has_bar: bool,
    started: Instant,
}

impl Ui {
    /// Opens the log, says what begins, and passes on what was odd about the configuration.
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

    /// Says how the command ended, after its error, if there is one, is written to the log.
    /// Returns the code to exit with.
    pub fn end(&self, result: Result<(), &dyn Failure>) -> u8 {
        let code = result.err().map_or(0, report);
        let how = match code {
            0 => format!("completed successfully ({}ms)", self.started.elapsed().as_millis()),
            code => format!("aborted with exception [{code:03}]"),
        };
        self.announce(&format!("{} command end: {how}", self.command));
        code
    }

    /// A sink for the progress of a piece of work: a bar on a terminal, else log lines.
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

/// Where a command writes its result: standard output, without control characters of others but for the content of
/// an object, which goes to a file or another program as it is.
pub fn output(config: &Config) -> Box<dyn Write> {
    let out = io::stdout();
    match config.command == CommandName::RepoGet && !out.is_terminal() {
        true => Box::new(out),
        false => Box::new(Escaped::new(out)),
    }
}

/// Writes the result of a command to standard output. A reader that has gone away, as `head` does,
/// is not an error.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes an error to standard error before there is a log. Returns the code to exit with.
pub fn report_early(error: &dyn Failure) -> u8 {
    let (line, code) = report::early(error);
    Terminal::default().write_err(&line);
    code
}
