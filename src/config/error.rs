//! What can be wrong with a command line, an environment or a configuration file.

use std::{io, path::PathBuf};

use crate::types::{ErrorCode, Failure};

/// A configuration that cannot be used. The value of a secret is never part of it.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum Error {
    #[error("no command found")]
    CommandRequired,

    #[error("invalid command '{word}'")]
    CommandUnknown { word: String, nearest: Option<String> },

    #[error("command '{word}' is not supported: {reason}")]
    CommandUnsupported { word: &'static str, reason: &'static str },

    #[error("{what} is not valid UTF-8")]
    NotUnicode { what: String },

    #[error("invalid option '{option}'")]
    OptionUnknown { option: String, hint: Option<String> },

    #[error("option '{option}' not valid for command '{command}'")]
    OptionNotForCommand { option: String, command: &'static str, valid_for: Vec<&'static str> },

    #[error("option '{option}' cannot be set multiple times{}", at(.places))]
    OptionRepeated { option: String, places: Vec<String> },

    #[error("option '{option}' {problem}")]
    OptionForm { option: String, problem: &'static str },

    #[error("option '{option}' not valid with option '{other}'")]
    OptionConflict { option: String, other: String, hint: &'static str },

    #[error("option '{option}' not valid without option {other}")]
    OptionNeeds { option: String, other: String },

    #[error("option '{option}' is not allowed on the command-line")]
    SecretOnCommandLine { option: String, variable: String },

    #[error("{value} {problem} for '{option}' option{place}")]
    OptionValue {
        option: String,
        /// The value in quotes, or a word in its place where it must not be shown.
        value: String,
        problem: String,
        place: String,
        hint: Option<String>,
    },

    #[error("{command} command requires option: {option}")]
    OptionRequired { command: &'static str, option: String, hint: Option<String> },

    #[error("{option} is not supported: {reason}")]
    OptionUnsupported {
        /// As the user gave it: `option 'x'` or `--no-x`.
        option: String,
        reason: String,
    },

    #[error("{command} command requires parameter: {parameter}")]
    ParameterRequired { command: &'static str, parameter: &'static str },

    #[error("{command} command does not take the parameter '{parameter}'")]
    ParameterInvalid { command: &'static str, parameter: String, hint: Option<String> },

    #[error("unable to open missing file '{}' for read", .path.display())]
    FileMissing { path: PathBuf },

    #[error("unable to list files for missing path '{}'", .path.display())]
    PathMissing { path: PathBuf },

    #[error("unable to read configuration file '{}': {source}", .path.display())]
    FileRead { path: PathBuf, source: io::Error },

    #[error("unable to list path '{}': {source}", .path.display())]
    PathRead { path: PathBuf, source: io::Error },

    #[error("configuration file '{}' {problem}", .path.display())]
    FileUnusable { path: PathBuf, problem: &'static str },

    #[error("configuration file '{}', line {line}: {problem}", .path.display())]
    FileFormat { path: PathBuf, line: usize, problem: &'static str },

    #[error("option '{0}' is not in the option table")]
    Internal(String),
}

fn at(places: &[String]) -> String {
    if places.is_empty() { String::new() } else { format!(" ({})", places.join(", ")) }
}

impl Failure for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::CommandRequired => ErrorCode::CommandRequired,
            Self::CommandUnknown { .. } => ErrorCode::CommandInvalid,
            Self::CommandUnsupported { .. } | Self::OptionUnsupported { .. } => {
                ErrorCode::FeatureNotSupported
            }
            Self::OptionUnknown { .. }
            | Self::NotUnicode { .. }
            | Self::OptionNotForCommand { .. }
            | Self::OptionRepeated { .. }
            | Self::OptionForm { .. }
            | Self::OptionConflict { .. }
            | Self::OptionNeeds { .. }
            | Self::SecretOnCommandLine { .. } => ErrorCode::OptionInvalid,
            Self::OptionValue { .. } => ErrorCode::OptionInvalidValue,
            Self::OptionRequired { .. } => ErrorCode::OptionRequired,
            Self::ParameterRequired { .. } => ErrorCode::ParamRequired,
            Self::ParameterInvalid { .. } => ErrorCode::ParamInvalid,
            Self::FileMissing { .. } => ErrorCode::FileMissing,
            Self::PathMissing { .. } => ErrorCode::PathMissing,
            Self::FileRead { .. } => ErrorCode::FileOpen,
            Self::PathRead { .. } => ErrorCode::PathOpen,
            Self::FileUnusable { .. } => ErrorCode::Config,
            Self::FileFormat { .. } => ErrorCode::Format,
            Self::Internal(_) => ErrorCode::Assert,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::CommandRequired => Some("run 'help' for a list of commands.".into()),
            Self::CommandUnknown { nearest, .. } => Some(match nearest {
                Some(word) => format!("did you mean '{word}'?"),
                None => "run 'help' for a list of commands.".into(),
            }),
            Self::OptionUnknown { hint, .. }
            | Self::OptionValue { hint, .. }
            | Self::OptionRequired { hint, .. }
            | Self::ParameterInvalid { hint, .. } => hint.clone(),
            Self::OptionNotForCommand { valid_for, .. } if !valid_for.is_empty() => {
                Some(format!("it is valid for: {}.", valid_for.join(", ")))
            }
            Self::OptionConflict { hint, .. } => Some((*hint).into()),
            Self::SecretOnCommandLine { variable, .. } => Some(format!(
                "it would be visible in the process list.\n\
                 set it in a configuration file or in the environment variable {variable}."
            )),
            Self::ParameterRequired { command, .. } => {
                Some(format!("see 'help {command}' for an example."))
            }
            _ => None,
        }
    }
}
