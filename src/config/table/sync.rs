//! Options of repo-sync.

use crate::config::{
    commands::Commands,
    spec::{Kind::*, OptionSpec, Section::*, row},
};

pub(super) static ROWS: &[OptionSpec] = &[
    row("from", CommandLine, Integer(1, 256), Commands::REPO_SYNC, "The repository to copy from")
        .example("1"),
    row("to", CommandLine, Integer(1, 256), Commands::REPO_SYNC, "The repository to copy to")
        .detail("Its retention options say what is worth copying.")
        .example("2"),
];
