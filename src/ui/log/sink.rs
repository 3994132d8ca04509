//! Where log lines go: standard output, standard error, the log file.

use std::{
    error::Error,
    ffi::OsStr,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{config::LogLevel, host::HostDirectory, ui::terminal::Terminal};

/// What stands at the beginning of each run in a log file.
const SEPARATOR: &str = "-------------------PROCESS START-------------------\n";

/// Mode of the directory, where it is made.
const DIRECTORY_MODE: u32 = 0o750;

/// One place for lines up to a level.
pub(super) struct Sink {
    pub(super) level: LogLevel,
    pub(super) color: bool,
    pub(super) timestamp: bool,
    target: Target,
}

enum Target {
    Stdout(Arc<Terminal>),
    Stderr(Arc<Terminal>),
    File(Mutex<LogFile>),
    #[cfg(test)]
    Memory(Arc<Mutex<String>>),
}

impl Sink {
    pub(super) fn stdout(
        level: LogLevel,
        color: bool,
        timestamp: bool,
        to: &Arc<Terminal>,
    ) -> Self {
        Self { level, color, timestamp, target: Target::Stdout(to.clone()) }
    }

    pub(super) fn stderr(
        level: LogLevel,
        color: bool,
        timestamp: bool,
        to: &Arc<Terminal>,
    ) -> Self {
        Self { level, color, timestamp, target: Target::Stderr(to.clone()) }
    }

    /// A file that is opened when its first line comes. Its lines always have the time.
    pub(super) fn file(level: LogLevel, path: PathBuf) -> Self {
        let target = Target::File(Mutex::new(LogFile { path, state: State::Unopened }));
        Self { level, color: false, timestamp: true, target }
    }

    #[cfg(test)]
    pub(super) fn memory(level: LogLevel, text: Arc<Mutex<String>>) -> Self {
        Self { level, color: false, timestamp: false, target: Target::Memory(text) }
    }

    /// Writes a line. The problem that comes back is for the other places, once: a log that
    /// cannot be written is no reason to stop a backup.
    pub(super) fn write(&self, line: &str) -> Option<String> {
        match &self.target {
            Target::Stdout(terminal) => terminal.write_out(line),
            Target::Stderr(terminal) => terminal.write_err(line),
            Target::File(file) => {
                return file.lock().unwrap_or_else(PoisonError::into_inner).write(line);
            }
            #[cfg(test)]
            Target::Memory(text) => text.lock().unwrap().push_str(line),
        }
        None
    }
}

struct LogFile {
    path: PathBuf,
    state: State,
}

enum State {
    Unopened,
    Open(File),
    Unusable,
}

impl LogFile {
    fn write(&mut self, line: &str) -> Option<String> {
        match self.try_write(line) {
            Ok(()) => None,
            Err(error) => {
                self.state = State::Unusable;
                Some(format!(
                    "unable to write log file '{}': {error}\n\
                     NOTE: process will continue without log file.",
                    self.path.display()
                ))
            }
        }
    }

    fn try_write(&mut self, line: &str) -> Result<(), Box<dyn Error>> {
        if matches!(self.state, State::Unopened) {
            self.state = State::Open(self.open()?);
        }
        match &mut self.state {
            State::Open(file) => Ok(file.write_all(line.as_bytes())?),
            _ => Ok(()),
        }
    }

    fn open(&self) -> Result<File, Box<dyn Error>> {
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        let name = self.path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let mut file = HostDirectory::ensure(directory, DIRECTORY_MODE)?.trusted()?.append(name)?;
        let blank = if file.metadata()?.len() > 0 { "\n" } else { "" };
        file.write_all(format!("{blank}{SEPARATOR}").as_bytes())?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn runs_in_a_file_are_set_apart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/db-backup.log");
        for text in ["a\n", "b\n"] {
            let sink = Sink::file(LogLevel::Info, path.clone());
            assert_eq!(sink.write(text), None);
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{SEPARATOR}a\n\n{SEPARATOR}b\n"));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777 & !0o640, 0);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_told_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "").unwrap();
        let sink = Sink::file(LogLevel::Info, path.join("below/x.log"));
        assert!(sink.write("a\n").unwrap().starts_with("unable to write log file"));
        assert_eq!(sink.write("b\n"), None);
    }

    #[test]
    fn no_line_no_file() {
        let directory = tempfile::tempdir().unwrap();
        drop(Sink::file(LogLevel::Info, directory.path().join("x.log")));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
