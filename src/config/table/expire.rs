//! Options of expire and keep that are given when they run; what is kept is said with the repository.

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
    row("oldest", CommandLine, Boolean, Commands::EXPIRE, "Expire the oldest full backup")
        .default("n")
        .detail("With what builds on it and its WAL, whatever the retention options say."),
    row("remove", CommandLine, Boolean, Commands::KEEP, "Take the keep mark off").default("n"),
    row("until", CommandLine, String, Commands::KEEP, "How long to keep the backup")
        .detail(
            "A date, which is kept to its end in local time, or a time with an optional offset. \
                 Without it the mark holds until it is removed.",
        )
        .example("2027-01-31"),
];
