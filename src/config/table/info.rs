//! Options of info, verify, repo-ls and repo-get, and of pgBackRest's commands that are not supported yet.

use crate::{
    config::{
        commands::Commands,
        error::Error,
        settings::Settings,
        spec::{Kind::*, OptionSpec, Section::*, row},
    },
    types::{BackupType, words::words},
};

pub(super) static ROWS: &[OptionSpec] = &[
    row("detail-level", CommandLine, Word(DetailLevel::WORDS), Commands::INFO, "Level of detail")
        .default("full")
        .detail("progress shows only the state of running commands, and is faster.")
        .example("progress"),
    row(
        "filter",
        CommandLine,
        Text,
        Commands::MANIFEST.or(Commands::REPO_LS),
        "Show only names that match a regular expression",
    )
    .example("(F|D|I)$"),
    row(
        "ignore-missing",
        CommandLine,
        Boolean,
        Commands::REPO_GET,
        "Do not fail if the file is missing",
    )
    .default("n")
    .detail("Nothing is printed, and the exit code is 1."),
    row(
        "raw",
        CommandLine,
        Boolean,
        Commands::REPO_GET.or(Commands::REPO_PUT),
        "Do not decompress",
    )
    .default("n")
    .detail("Prints the content as it is stored, without decompressing it."),
    row(
        "recurse",
        CommandLine,
        Boolean,
        Commands::REPO_LS.or(Commands::REPO_RM),
        "Include all subpaths",
    )
    .default("n"),
    row("reference", CommandLine, Text, Commands::MANIFEST, "Backup to compare with")
        .example("20261121-092452F"),
    row("sort", CommandLine, Word(SortOrder::WORDS), Commands::REPO_LS, "Sort order of names")
        .default("asc")
        .example("desc"),
    row("verbose", CommandLine, Boolean, Commands::VERIFY, "Show valid backups and archives too")
        .default("n"),
];

/// info.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct InfoConfig {
    /// `--type`: show only backups of this type.
    pub kind: Option<BackupType>,
    pub detail_level: DetailLevel,
}

words! {
    /// `--detail-level`.
    pub enum DetailLevel ("level of detail") {
        Full = "full",
        /// Only the state of running commands.
        Progress = "progress",
    }
}

/// repo-ls and repo-get.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct RepoAccessConfig {
    pub recurse: bool,
    /// A regular expression.
    pub filter: Option<String>,
    pub sort: SortOrder,
    pub ignore_missing: bool,
    pub raw: bool,
}

words! {
    /// `--sort`.
    pub enum SortOrder ("sort order") {
        None = "none",
        Asc = "asc",
        Desc = "desc",
    }
}

/// verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct VerifyConfig {
    /// `--output`.
    pub report: VerifyReport,
    /// Whether the report shows valid backups too.
    pub verbose: bool,
}

words! {
    /// The report of verify (`--output`).
    pub enum VerifyReport ("report format") {
        /// Errors are logged, and nothing is printed.
        None = "none",
        Text = "text",
        Json = "json",
    }
}

pub(super) fn read(s: &Settings) -> Result<InfoConfig, Error> {
    let of_info = s.command.set == Commands::INFO;
    Ok(InfoConfig {
        kind: if of_info { s.optional_word_of("type", 0)? } else { None },
        detail_level: s.word("detail-level")?,
    })
}

pub(super) fn repo_access(s: &Settings) -> Result<RepoAccessConfig, Error> {
    Ok(RepoAccessConfig {
        recurse: s.boolean("recurse")?,
        filter: s.text("filter", 0)?,
        sort: s.word("sort")?,
        ignore_missing: s.boolean("ignore-missing")?,
        raw: s.boolean("raw")?,
    })
}

pub(super) fn verify(s: &Settings) -> Result<VerifyConfig, Error> {
    let of_verify = s.command.set == Commands::VERIFY;
    let report = if of_verify { s.word("output")? } else { VerifyReport::None };
    Ok(VerifyConfig { report, verbose: s.boolean("verbose")? })
}
