//! What can go wrong while a backup is taken.

use std::path::PathBuf;

use crate::{
    codec,
    postgres::{self, DataDirectoryError, Unseen},
    repo,
    types::{DataPath, ErrorCode, Failure, Invalid, Lsn},
    work,
};

/// What helps where the server has files that this process cannot see.
pub(crate) const UNSEEN_HINT: &str = "mount every tablespace here where the server has it, at the same path; \
    backup-source=stream needs none of it";

/// A failed backup.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server, or the connection to it, failed.
    #[error(transparent)]
    Postgres(#[from] postgres::Error),
    /// The repository failed.
    #[error(transparent)]
    Repo(#[from] repo::Error),
    /// A frame could not be made.
    #[error(transparent)]
    Codec(#[from] codec::Error),
    /// The server leaves something out that the cluster cannot do without.
    #[error("'{path}' is a symbolic link or another special file, which the server does not send")]
    LeftOut {
        /// The path, as the server named it.
        path: String,
    },
    /// The server would not say what it leaves out.
    #[error(
        "client_min_messages is 'error', so the server does not say what it leaves out of a backup"
    )]
    NoWarnings,
    /// A name was not valid.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The source did not keep to the order of events.
    #[error("the source of the backup is inconsistent: {0}")]
    Source(String),
    /// The data directory could not be read.
    #[error(transparent)]
    DataDirectory(#[from] DataDirectoryError),
    /// What was taken for the server's data directory is a copy of it.
    #[error(
        "'{}' does not have the checkpoint at {started} that the server has just made: it is not the \
         server's data directory",
        path.display()
    )]
    OtherDirectory {
        /// The directory.
        path: PathBuf,
        /// Where the backup was started.
        started: Lsn,
    },
    /// The block map of a file would be larger than readers take.
    #[error("'{path}' is too large for a backup: its block map would have more than 1 GiB")]
    TooLarge {
        /// The file.
        path: DataPath,
    },
    /// The server has files that this process cannot see.
    #[error("the server has what cannot be seen in '{}': {}", path.display(), Unseen::list(unseen))]
    Unseen {
        /// The data directory.
        path: PathBuf,
        /// What cannot be seen, and why.
        unseen: Vec<Unseen>,
    },
    /// A thread or a task did not do its work.
    #[error(transparent)]
    Work(#[from] work::Error),
    /// The program did what it must never do.
    #[error("{what}")]
    Bug {
        /// What.
        what: &'static str,
    },
}

impl Error {
    /// Whether it is the server's incremental backup alone that failed: the same backup can be taken
    /// from a new source that is given no prior backup.
    pub fn is_about_incremental(&self) -> bool {
        matches!(self, Self::Postgres(error) if error.is_about_incremental())
    }

    pub(super) fn source(path: &DataPath, what: &str) -> Self {
        Self::Source(format!("'{path}': {what}"))
    }
}

impl Failure for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Postgres(error) => error.code(),
            Self::Repo(error) => error.code(),
            Self::Codec(error) => error.code(),
            Self::Invalid(error) => error.code(),
            Self::LeftOut { .. } => ErrorCode::LinkDestination,
            Self::NoWarnings => ErrorCode::DbQuery,
            Self::Source(_) => ErrorCode::Protocol,
            Self::TooLarge { .. } => ErrorCode::FileInvalid,
            Self::DataDirectory(error) => error.code(),
            Self::OtherDirectory { .. } => ErrorCode::DbMismatch,
            Self::Unseen { .. } => ErrorCode::FileOpen,
            Self::Work(error) => error.code(),
            Self::Bug { .. } => ErrorCode::Assert,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Postgres(error) => error.hint(),
            Self::Repo(error) => error.hint(),
            Self::Codec(error) => error.hint(),
            Self::DataDirectory(error) if error.is_of_link() => error.hint(),
            Self::LeftOut { .. } => Some(
                "use --backup-source=local on the host of the server, which follows links; or move what the \
                 link leads to back into the data directory, or into a tablespace"
                    .to_owned(),
            ),
            Self::NoWarnings => Some(
                "set client_min_messages to warning, notice or less in postgresql.conf, and reload the server"
                    .to_owned(),
            ),
            Self::DataDirectory(error) => error.hint().map(|hint| {
                format!("{hint} Or use --backup-source=stream, which needs no access to files")
            }),
            Self::OtherDirectory { .. } => Some(
                "pgN-path must be the directory that the server runs from; --backup-source=stream needs \
                 none"
                    .to_owned(),
            ),
            Self::TooLarge { .. } => Some(
                "no file of PostgreSQL is that large: move it out of the data directory".to_owned(),
            ),
            Self::Unseen { .. } => Some(UNSEEN_HINT.to_owned()),
            Self::Work(error) => error.hint(),
            Self::Bug { .. } => {
                Some("this is a defect of the program: report it with the log".to_owned())
            }
            _ => None,
        }
    }
}
