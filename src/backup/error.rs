//! What can go wrong while a backup is taken.

use std::{path::PathBuf, time::Duration};

use super::lacking_wal::LackingWal;
use crate::{
    codec,
    postgres::{self, DataDirectoryError, Unseen},
    repo, storage,
    types::{
        ArchiveFile, BackupLabel, DataPath, ErrorCode, Failure, Invalid, Lsn, TimeLine, WalSegment,
    },
    work,
};

/// Hint for files of the server that this process cannot see.
pub(crate) const UNSEEN_HINT: &str = "mount every tablespace on this host at the same path as on \
                                      the server, or use backup-source=stream";

/// A failed backup.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server, or the connection to it, failed.
    #[error(transparent)]
    Postgres(#[from] postgres::Error),
    /// The repository failed.
    #[error(transparent)]
    Repo(#[from] repo::Error),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// A frame could not be made.
    #[error(transparent)]
    Codec(#[from] codec::Error),
    /// The server leaves something out that the cluster cannot do without.
    #[error("'{path}' is a symbolic link or special file, which the server does not send")]
    LeftOut {
        /// The path, as the server named it.
        path: String,
    },
    /// The server would not say what it leaves out.
    #[error("client_min_messages is 'error', so the server does not report files that it skips")]
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
    /// The directory is a copy of the server's data directory.
    #[error(
        "'{}' does not have the checkpoint at {started} that the server has just written: it is \
         not the server's data directory",
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
    #[error("the server has files that cannot be seen in '{}': {}", path.display(), Unseen::list(unseen))]
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
    /// The copy lacks what the server's catalogs have.
    #[error("the files received are not the complete cluster: {missing} is missing")]
    Incomplete {
        /// The first of what is missing, with what it belongs to.
        missing: String,
    },
    /// Databases were moved while they were copied.
    #[error(
        "database {databases} was moved to another tablespace while the backup was taken: recovery \
         from this backup would restore it only in part"
    )]
    DatabaseMoved {
        /// The databases.
        databases: String,
    },
    /// The tablespaces in `pg_tblspc` are not those that the source was started for.
    #[error("a tablespace in pg_tblspc was created or dropped while the backup was starting")]
    TablespacesChanged,
    /// WAL did not reach the archive in time.
    #[error("{lacking} within {}s", timeout.as_secs())]
    NotArchived {
        /// What is lacking.
        lacking: LackingWal,
        /// How long it was waited for.
        timeout: Duration,
        /// What the server that archives knows of it.
        hint: String,
    },
    /// The archive has WAL of another server under the name of this one's.
    #[error("WAL segment {segment} in the archive is not the one that this server wrote")]
    ForeignWal {
        /// The segment.
        segment: WalSegment,
    },
    /// The archive has the backup history file of another server under the name of this one's.
    #[error(
        "backup history file {file} in the archive is that of another backup: '{}'",
        label.escape_debug()
    )]
    ForeignHistory {
        /// The file.
        file: ArchiveFile,
        /// The label of the backup that it is of.
        label: String,
    },
    /// The archive has the timeline history file of another server under the name of this one's.
    #[error(
        "timeline history file {} in the archive is not the one of this server",
        timeline.history_file_name()
    )]
    ForeignTimeline {
        /// The timeline.
        timeline: TimeLine,
    },
    /// The notice of the backup is gone, or another one's.
    #[error("backup {label} was treated as interrupted, and its label is no longer reserved")]
    LabelLost {
        /// The backup.
        label: BackupLabel,
    },
    /// The backup was published, and whether all of it is there could not be looked at.
    #[error("backup {label} was published, but could not be checked afterwards: {source}")]
    Unconfirmed {
        /// The backup.
        label: BackupLabel,
        /// Why not.
        source: Box<Error>,
    },
}

const OTHER_SERVER_HINT: &str = "another server archives into this stanza, such as a restored copy on the same timeline: give \
     it a stanza of its own or restore copies with --archive-mode=off. This server's WAL is not \
     in the archive: see its log, and promote it to a timeline of its own to archive here";

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
            Self::Storage(error) => error.code(),
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
            Self::Incomplete { .. } | Self::DatabaseMoved { .. } | Self::LabelLost { .. } => {
                ErrorCode::FileMissing
            }
            Self::TablespacesChanged => ErrorCode::DbMismatch,
            Self::NotArchived { .. } => ErrorCode::ArchiveTimeout,
            Self::ForeignWal { .. }
            | Self::ForeignHistory { .. }
            | Self::ForeignTimeline { .. } => ErrorCode::ArchiveMismatch,
            Self::Unconfirmed { source, .. } => source.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Postgres(error) => return error.hint(),
            Self::Repo(error) => return error.hint(),
            Self::Storage(error) => return error.hint(),
            Self::Codec(error) => return error.hint(),
            Self::Work(error) => return error.hint(),
            Self::DataDirectory(error) if error.is_of_link() => return error.hint(),
            Self::DataDirectory(error) => {
                return error.hint().map(|hint| {
                    format!("{hint} Or use --backup-source=stream, which needs no access to files")
                });
            }
            Self::NotArchived { hint, .. } => hint,
            other => other.advice()?,
        };
        Some(text.to_owned())
    }
}

impl Error {
    /// Hint for an error of this engine's own.
    fn advice(&self) -> Option<&'static str> {
        Some(match self {
            Self::LeftOut { .. } => {
                "use --backup-source=local on the host of the server, which follows links; or move \
                 the target of the link back into the data directory, or into a tablespace"
            }
            Self::NoWarnings => {
                "set client_min_messages to warning, notice or less in postgresql.conf, and reload the server"
            }
            Self::OtherDirectory { .. } => {
                "pgN-path must be the directory that the server runs from; --backup-source=stream needs \
                 none"
            }
            Self::TooLarge { .. } => {
                "no file of PostgreSQL is that large: move it out of the data directory"
            }
            Self::Unseen { .. } => UNSEEN_HINT,
            Self::Bug { .. } => "this is a bug: please report it with the log",
            Self::Incomplete { .. } => {
                "check that the tablespaces are mounted on the server, and that no directory of \
                 the data directory is a symbolic link. No file of this backup is kept"
            }
            Self::DatabaseMoved { .. } => "run the backup again; no file of this one is kept",
            Self::TablespacesChanged => "run the backup again",
            Self::ForeignWal { .. }
            | Self::ForeignHistory { .. }
            | Self::ForeignTimeline { .. } => OTHER_SERVER_HINT,
            Self::LabelLost { .. } => {
                "expire found no new object of it for a day, or another host used the label; run \
                 the backup again"
            }
            Self::Unconfirmed { .. } => {
                "nothing was removed: when the repository responds again, run verify --set of this \
                 backup"
            }
            _ => return None,
        })
    }
}
