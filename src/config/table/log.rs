//! Options of the log.

use std::path::PathBuf;

use crate::{
    config::{
        commands::Commands,
        error::Error,
        settings::Settings,
        spec::{Kind::*, OptionSpec, Section::*, row},
    },
    types::words::words,
};

const ALL: Commands = Commands::ALL;

pub(super) static ROWS: &[OptionSpec] = &[
    row("log-format", Global, Word(LogFormat::WORDS), ALL, "Format of log lines")
        .default("text")
        .detail(
            "json writes one object per line with time, level, process and message; errors also have code \
             and hint.",
        )
        .example("json"),
    row("log-level-console", Global, Word(LogLevel::WORDS), ALL, "Log level on standard output")
        .default("warn")
        .detail(
            "If standard output carries the result of the command (info, repo-ls, repo-get, \
             --output=json), these lines go to standard error, so that they do not mix with the result.",
        )
        .example("info"),
    row("log-level-file", Global, Word(LogLevel::WORDS), ALL, "Log level in the log file")
        .default("info")
        .detail(
            "The file is <log-path>/<stanza>-<command>.log. Commands that run for every WAL segment and \
             commands that only show something have no log file.",
        )
        .example("detail"),
    row("log-level-stderr", Global, Word(LogLevel::WORDS), ALL, "Log level on standard error")
        .default("off")
        .example("info"),
    row("log-path", Global, Path, ALL, "Directory of log files")
        .default_path("/var/log/pgstrata", "/var/log/pgbackrest")
        .detail("If it cannot be written to, a warning is logged and the command continues.")
        .example("/backup/db/log"),
    row("log-subprocess", Global, Boolean, Commands::WORK, "Enable logging in subprocesses")
        .default("n")
        .accepted("there are no subprocesses"),
    row("log-timestamp", Global, Boolean, ALL, "Begin log lines with a timestamp").default("y"),
];

/// Logging.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Level on standard output.
    pub console: LogLevel,
    /// Level in the log file.
    pub file: LogLevel,
    /// Level on standard error.
    pub stderr: LogLevel,
    /// Directory of the log files.
    pub path: PathBuf,
    /// Whether console lines have a timestamp.
    pub timestamp: bool,
    /// `--log-format`.
    pub format: LogFormat,
}

words! {
    /// A log level, least first.
    #[derive(PartialOrd, Ord)]
    pub enum LogLevel ("log level") {
        Off = "off",
        Error = "error",
        Warn = "warn",
        Info = "info",
        Detail = "detail",
        Debug = "debug",
        Trace = "trace",
    }
}

words! {
    /// `--log-format`.
    pub enum LogFormat ("log format") {
        Text = "text",
        Json = "json",
    }
}

pub(super) fn read(s: &Settings) -> Result<LogConfig, Error> {
    Ok(LogConfig {
        console: s.word("log-level-console")?,
        file: s.word("log-level-file")?,
        stderr: s.word("log-level-stderr")?,
        path: s.required_path("log-path", 0)?,
        timestamp: s.boolean("log-timestamp")?,
        format: s.word("log-format")?,
    })
}
