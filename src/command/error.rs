//! Every error a command can end with.

use std::fmt;

use crate::{
    backup, codec, expire, postgres, repo, restore, storage, sync,
    types::{BackupLabel, ErrorCode, Failure, Invalid, StanzaName, open_files_hint},
    verify, wal, work,
};

/// A failed command.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The backup engine failed.
    #[error(transparent)]
    Backup(#[from] backup::Error),
    /// The expire engine failed.
    #[error(transparent)]
    Expire(#[from] expire::Error),
    /// The restore engine failed.
    #[error(transparent)]
    Restore(#[from] restore::Error),
    /// The repository could not be verified.
    #[error(transparent)]
    Verify(#[from] verify::Error),
    /// A repository could not be copied.
    #[error(transparent)]
    Sync(#[from] sync::Error),
    /// A WAL file could not be pushed or fetched.
    #[error(transparent)]
    Wal(#[from] wal::Error),
    /// The server, or the connection to it, failed.
    #[error(transparent)]
    Postgres(#[from] postgres::Error),
    /// The repository failed.
    #[error(transparent)]
    Repo(#[from] repo::Error),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// A thread or a task did not do its work.
    #[error(transparent)]
    Work(#[from] work::Error),
    /// A transform failed.
    #[error(transparent)]
    Codec(#[from] codec::Error),
    /// A name is not valid.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Output could not be written.
    #[error("unable to write the output: {0}")]
    Output(#[from] std::io::Error),
    /// The operating system did not give what every command begins with.
    #[error("unable to start: {what}: {source}")]
    Start {
        /// What is missing.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A signal ended the command.
    #[error("terminated on signal {0}")]
    Terminated(&'static str),
    /// An option that the command needs is missing.
    #[error("{command} command requires option: {option}")]
    OptionRequired {
        /// The command.
        command: &'static str,
        /// The option without dashes.
        option: String,
    },
    /// Something that belongs to a newer release of this program, or does not exist here.
    #[error("{0} is not supported")]
    NotSupported(String),
    /// The program was built without the kind of store that a repository is in.
    #[error("repo{repo}-type={feature}: this pgstrata was built without {store}")]
    StoreNotBuiltIn {
        /// The repository.
        repo: u16,
        /// The Cargo feature, which has the name of the repository type.
        feature: &'static str,
        /// The store's name.
        store: &'static str,
    },
    /// A word after the command is missing or too many.
    #[error("{what}")]
    Parameter {
        /// What is wrong.
        what: String,
        /// Missing or invalid.
        code: ErrorCode,
    },
    /// A check of the cluster or repository found something wrong.
    #[error("{what}")]
    Check {
        /// What is wrong.
        what: String,
        /// The code it is reported under.
        code: ErrorCode,
        /// What to do about it.
        hint: String,
    },
    /// The backup was published, and the expire after it failed.
    #[error("backup {label} is complete, but the expire after it failed: {source}")]
    AfterBackup {
        /// The backup, which exists.
        label: BackupLabel,
        /// Why expire failed.
        source: Box<Error>,
    },
    /// The command failed in some of several repositories or stanzas.
    #[error("{}", describe(.command, *.total, .failed))]
    InSome {
        /// The command.
        command: &'static str,
        /// In how many repositories or stanzas it worked.
        total: usize,
        /// Where it failed, and why.
        failed: Vec<(Place, Error)>,
    },
    /// What was wrong lies in one repository, and there are others.
    #[error("repo{repo}: {source}")]
    InRepo {
        /// The repository.
        repo: u16,
        /// The others.
        others: Vec<u16>,
        /// What was wrong.
        source: Box<Error>,
    },
    /// The command word is handled before commands run.
    #[error("the command is not run here")]
    NotACommand,
}

/// One of several places in which a command works.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The repository of this number.
    Repo(u16),
    /// A stanza.
    Stanza(StanzaName),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repo(key) => write!(f, "repo{key}"),
            Self::Stanza(stanza) => write!(f, "stanza {stanza}"),
        }
    }
}

impl From<u16> for Place {
    fn from(repo: u16) -> Self {
        Self::Repo(repo)
    }
}

impl From<StanzaName> for Place {
    fn from(stanza: StanzaName) -> Self {
        Self::Stanza(stanza)
    }
}

/// The message of the failures, a line each.
fn describe(command: &str, total: usize, failed: &[(Place, Error)]) -> String {
    let places = match failed.first() {
        Some((Place::Stanza(_), _)) => "stanzas",
        Some((Place::Repo(_), _)) | None => "repositories",
    };
    let lines: Vec<String> =
        failed.iter().map(|(place, error)| format!("{place}: {error}")).collect();
    let count = failed.len();
    format!("{command} failed in {count} of {total} {places}:\n{}", lines.join("\n"))
}

/// The hints of the failures, a line each.
fn hints(failed: &[(Place, Error)]) -> Option<String> {
    let hints = failed.iter().filter_map(|(place, error)| Some((place, error.hint()?)));
    let lines: Vec<String> = hints.map(|(place, hint)| format!("{place}: {hint}")).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// The code under which several errors are reported: their own if it is the same, else `Command`.
pub(super) fn common_code(mut codes: impl Iterator<Item = ErrorCode>) -> Option<ErrorCode> {
    let first = codes.next()?;
    Some(if codes.all(|code| code == first) { first } else { ErrorCode::Command })
}

/// The hint of an error in one repository, and where else to look.
fn elsewhere(others: &[u16], hint: Option<String>) -> Option<String> {
    if others.is_empty() {
        return hint;
    }
    let options: Vec<String> = others.iter().map(|key| format!("--repo={key}")).collect();
    let other = format!("another repository may have an intact copy: try {}", options.join(" or "));
    Some(match hint {
        Some(hint) => format!("{hint}\n{other}"),
        None => other,
    })
}

impl Failure for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Backup(error) => error.code(),
            Self::Expire(error) => error.code(),
            Self::Restore(error) => error.code(),
            Self::Verify(error) => error.code(),
            Self::Sync(error) => error.code(),
            Self::Wal(error) => error.code(),
            Self::Postgres(error) => error.code(),
            Self::Repo(error) => error.code(),
            Self::Storage(error) => error.code(),
            Self::Codec(error) => error.code(),
            Self::Work(error) => error.code(),
            Self::Invalid(error) => error.code(),
            Self::Output(_) => ErrorCode::FileWrite,
            Self::Start { .. } => ErrorCode::Kernel,
            Self::Terminated(_) => ErrorCode::Term,
            Self::OptionRequired { .. } => ErrorCode::OptionRequired,
            Self::NotSupported(_) | Self::StoreNotBuiltIn { .. } => ErrorCode::FeatureNotSupported,
            Self::Parameter { code, .. } | Self::Check { code, .. } => *code,
            Self::AfterBackup { source, .. } | Self::InRepo { source, .. } => source.code(),
            Self::InSome { failed, .. } => {
                common_code(failed.iter().map(|(_, error)| error.code()))
                    .unwrap_or(ErrorCode::Command)
            }
            Self::NotACommand => ErrorCode::Assert,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Backup(error) => error.hint(),
            Self::Expire(error) => error.hint(),
            Self::Restore(error) => error.hint(),
            Self::Verify(error) => error.hint(),
            Self::Sync(error) => error.hint(),
            Self::Wal(error) => error.hint(),
            Self::Postgres(error) => error.hint(),
            Self::Repo(error) => error.hint(),
            Self::Storage(error) => error.hint(),
            Self::Work(error) => error.hint(),
            Self::Start { source, .. } => open_files_hint(source).map(str::to_owned),
            Self::AfterBackup { source, .. } => source.hint(),
            Self::InSome { failed, .. } => hints(failed),
            Self::InRepo { others, source, .. } => elsewhere(others, source.hint()),
            Self::Check { hint, .. } => Some(hint.clone()),
            Self::StoreNotBuiltIn { feature, .. } => Some(format!(
                "use a pgstrata built with all storage types (the default) or with --features \
                 {feature}"
            )),
            _ => None,
        }
    }
}
