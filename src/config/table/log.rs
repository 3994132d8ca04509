//! Options of the log.

use crate::config::{
    commands::Commands,
    spec::{Kind::*, OptionSpec, Section::*, row},
};

const LEVELS: &[&str] = &["off", "error", "warn", "info", "detail", "debug", "trace"];
const ALL: Commands = Commands::ALL;

pub(super) static ROWS: &[OptionSpec] = &[
    row("log-format", Global, Word(&["text", "json"]), ALL, "Form of the log lines")
        .default("text")
        .detail(
            "json: one object a line with time, level, process and message, errors also with \
                 code and hint.",
        )
        .example("json"),
    row("log-level-console", Global, Word(LEVELS), ALL, "Level of the log on standard output")
        .default("warn")
        .detail(
            "Where standard output carries the result of the command (info, repo-ls, repo-get, \
                 --output=json), these lines go to standard error, so that a program that reads \
                 the result sees nothing else.",
        )
        .example("info"),
    row("log-level-file", Global, Word(LEVELS), ALL, "Level of the log in the file")
        .default("info")
        .detail(
            "The file is <log-path>/<stanza>-<command>.log. Commands that run once a WAL \
                 segment, and those that only show something, write none.",
        ),
    row("log-level-stderr", Global, Word(LEVELS), ALL, "Level of the log on standard error")
        .default("off")
        .example("info"),
    row("log-path", Global, Path, ALL, "Directory of the log files")
        .default_path("/var/log/pgstrata", "/var/log/pgbackrest")
        .detail("Where it cannot be written, there is a warning, and the command goes on."),
    row("log-subprocess", Global, Boolean, Commands::WORK, "Log in subprocesses too")
        .default("n")
        .accepted("there are no subprocesses"),
    row("log-timestamp", Global, Boolean, ALL, "Begin log lines with the time").default("y"),
];
