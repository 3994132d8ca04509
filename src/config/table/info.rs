//! Options of the commands that show something, and of those that are not answered yet.

use crate::config::{
    commands::Commands,
    spec::{Kind::*, OptionSpec, Section::*, row},
};

pub(super) static ROWS: &[OptionSpec] = &[
    row(
        "archive-expire-before",
        CommandLine,
        String,
        Commands::EXPIRE,
        "Remove WAL before this segment",
    )
    .detail(
        "No backup is expired then, and no WAL that a backup needs. Meant for PostgreSQL's \
                 archive_cleanup_command and an archive that serves standbys: the segment is its %r.",
    )
    .example("000000010000000A000000FF"),
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
    row("oldest", CommandLine, Boolean, Commands::EXPIRE, "Expire the oldest full backup")
        .default("n")
        .detail("With what builds on it and its WAL, whatever the retention options say."),
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
    row("remove", CommandLine, Boolean, Commands::KEEP, "Take the keep mark off").default("n"),
    row(
        "sort",
        CommandLine,
        Word(&["none", "asc", "desc"]),
        Commands::REPO_LS,
        "Order of the names",
    )
    .default("asc"),
    row("until", CommandLine, String, Commands::KEEP, "How long to keep the backup")
        .detail(
            "A date, which is kept to its end in local time, or a time with an optional offset. \
                 Without it the mark holds until it is removed.",
        )
        .example("2027-01-31"),
    row("verbose", CommandLine, Boolean, Commands::VERIFY, "Show what is in order too")
        .default("n"),
];
