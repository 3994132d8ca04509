//! Options of repo-key. The pass phrases themselves are said with the repository.

use crate::config::{
    commands::Commands,
    spec::{Kind::*, OptionSpec, Section::*, row},
};

pub(super) static ROWS: &[OptionSpec] = &[
    row(
        "cipher-pass-new-file",
        CommandLine,
        Path,
        Commands::REPO_KEY,
        "File that holds the new pass phrase",
    )
    .detail("For change and add. A line feed at its end does not count.")
    .example("/etc/pgstrata/pass.new"),
    row("comment", CommandLine, String, Commands::REPO_KEY, "What to say of the recipient")
        .detail("It is stored as it is, for everybody to read.")
        .example("db team"),
    row("recipient", CommandLine, String, Commands::REPO_KEY, "The recipient to remove, by its id")
        .example("5d1f0c2ab34e6f78"),
];
