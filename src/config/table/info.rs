//! Options of the commands that show something, and of those that are not answered yet.

use crate::config::{
    commands::Commands,
    spec::{Kind::*, OptionSpec, Section::*, row},
};

pub(super) static ROWS: &[OptionSpec] = &[
    row(
        "detail-level",
        CommandLine,
        Word(&["full", "progress"]),
        Commands::INFO,
        "How much to show",
    )
    .default("full")
    .detail("progress shows only the state of running commands and is quicker.")
    .example("progress"),
    row(
        "filter",
        CommandLine,
        String,
        Commands::MANIFEST.or(Commands::REPO_LS),
        "Show only what matches a regular expression",
    )
    .example("(F|D|I)$"),
    row(
        "ignore-missing",
        CommandLine,
        Boolean,
        Commands::REPO_GET,
        "Succeed where the file is missing",
    )
    .default("n"),
    row(
        "raw",
        CommandLine,
        Boolean,
        Commands::REPO_GET.or(Commands::REPO_PUT),
        "Give the stored bytes as they are",
    )
    .default("n")
    .detail("Without it, what is compressed is decompressed."),
    row(
        "recurse",
        CommandLine,
        Boolean,
        Commands::REPO_LS.or(Commands::REPO_RM),
        "Include all that is below the path",
    )
    .default("n"),
    row("reference", CommandLine, String, Commands::MANIFEST, "The backup to compare with"),
    row(
        "sort",
        CommandLine,
        Word(&["none", "asc", "desc"]),
        Commands::REPO_LS,
        "Order of the names",
    )
    .default("asc"),
    row("verbose", CommandLine, Boolean, Commands::VERIFY, "Show what is in order too")
        .default("n"),
];
