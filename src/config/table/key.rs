//! Options of repo-key; the pass phrases themselves are options of the repository.

use std::path::PathBuf;

use crate::config::{
    commands::Commands,
    error::Error,
    settings::Settings,
    spec::{Kind::*, OptionSpec, Section::*, row},
};

pub(super) static ROWS: &[OptionSpec] = &[
    row(
        "cipher-pass-new-file",
        CommandLine,
        Path,
        Commands::REPO_KEY,
        "File that contains the new pass phrase",
    )
    .detail(
        "For change and add, instead of repoN-cipher-pass-new. A newline at the end of the file is \
         ignored.",
    )
    .example("/etc/pgstrata/pass.new"),
    row("comment", CommandLine, Text, Commands::REPO_KEY, "Comment on the recipient")
        .detail("Stored unencrypted.")
        .example("db team"),
    row("recipient", CommandLine, Text, Commands::REPO_KEY, "Recipient to remove, by its ID")
        .example("5d1f0c2ab34e6f78"),
];

/// repo-key.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct RepoKeyConfig {
    /// `--cipher-pass-new-file`.
    pub pass_new_file: Option<PathBuf>,
    pub comment: Option<String>,
    pub recipient: Option<String>,
}

pub(super) fn read(s: &Settings) -> Result<RepoKeyConfig, Error> {
    Ok(RepoKeyConfig {
        pass_new_file: s.path("cipher-pass-new-file", 0)?,
        comment: s.text("comment", 0)?,
        recipient: s.text("recipient", 0)?,
    })
}
