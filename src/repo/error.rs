//! Errors of a repository.

use super::wal_span::{Span, WalPosition};
use crate::{
    codec, host, storage,
    types::{ErrorCode, Failure, Invalid},
    work,
};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// A name in the repository, or a name for a new object, is not valid.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The bytes are not in the expected format.
    #[error("'{object}' is not valid: {what}")]
    Format { object: String, what: String },
    /// An encrypted object in a repository that is configured without encryption.
    #[error("'{object}' is encrypted")]
    Encrypted { object: String },
    /// A newer version of the program wrote the object.
    #[error(
        "'{object}' has format version {found}, but this program reads versions up to {newest}"
    )]
    Version {
        object: String,
        found: u16,
        /// The newest version that can be read.
        newest: u16,
    },
    /// A digest does not match.
    #[error("'{object}' is damaged: its {what} does not match what was recorded")]
    Damaged {
        object: String,
        /// Such as "SHA-256".
        what: &'static str,
    },
    /// An object of the WAL archive is damaged.
    #[error("'{object}' is not a complete WAL file: {source}")]
    Wal { object: String, source: WalFault },
    /// The path of the repository holds files of another program.
    #[error("'{object}' belongs to {tree}, which pgstrata neither reads nor changes")]
    Foreign {
        /// The file by which it was recognised.
        object: String,
        /// Such as "a pgBackRest repository".
        tree: &'static str,
    },
    /// There is no stanza history in the repository.
    #[error("stanza '{stanza}' does not exist in repository '{location}'")]
    StanzaMissing { stanza: String, location: String },
    /// The stanza belongs to another cluster.
    #[error("{found} is not the cluster of stanza '{stanza}', which is {expected}")]
    StanzaMismatch {
        stanza: String,
        /// The stanza's cluster.
        expected: String,
        found: String,
        /// Depends on the command, as with pgBackRest.
        code: ErrorCode,
    },
    #[error("backup '{label}' does not exist in repository '{location}'")]
    BackupMissing { label: String, location: String },
    /// Objects of the backup are missing.
    #[error("backup '{label}' in repository '{location}' is incomplete: {missing} missing")]
    Incomplete {
        label: String,
        location: String,
        /// Names below the directory of the backup.
        missing: String,
    },
    /// The write of a manifest failed, and it cannot be told whether it took effect.
    #[error("unable to determine whether '{object}' was written: {source}")]
    Unpublished { object: String, source: storage::Error },
    #[error(transparent)]
    Host(#[from] host::Error),
    #[error("unable to acquire lock on file '{path}': another process holds it{holder}")]
    Locked {
        path: String,
        /// In parentheses after a space; empty if unknown.
        holder: String,
    },
    #[error("stop file exists for {whom}: '{path}'")]
    Stopped {
        /// "all stanzas" or the stanza.
        whom: String,
        path: String,
    },
    /// Compression, decompression, encryption or decryption failed.
    #[error("unable to process '{object}': {source}")]
    Codec { object: String, source: codec::Error },
    /// An invariant of the program was violated.
    #[error("internal error: {what}")]
    Bug { what: &'static str },
    #[error(
        "'{object}' cannot be removed: it is the last key object, without which nothing can be decrypted"
    )]
    LastKey { object: String },
    /// Concurrent commands took every number that was tried.
    #[error("unable to add to '{object}': too many concurrent changes")]
    Contended { object: String },
    /// The history of the timeline on which a backup stopped does not contain the start of the backup.
    #[error(
        "'{}' is not the history of the backup's WAL: it does not lead from {} on timeline {} to {} on timeline {}",
        .wal.stop.timeline.history_file_name(), .wal.start.lsn, .wal.start.timeline, .wal.stop.lsn, .wal.stop.timeline
    )]
    OtherHistory { wal: Span<WalPosition> },
    #[error(transparent)]
    Work(#[from] work::Error),
    /// The archive holds two files with one name and different content.
    #[error("{what}")]
    Duplicate { what: String },
}

/// A fault of an object of the WAL archive.
#[derive(Debug, thiserror::Error)]
pub enum WalFault {
    /// Wrong structure.
    #[error("{0}")]
    Form(String),
    /// The reader of the content refused it.
    #[error("{0}")]
    Content(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error(transparent)]
    Codec(#[from] codec::Error),
    /// Not a valid timeline history file.
    #[error(transparent)]
    History(#[from] Invalid),
    #[error("its SHA-256 is not the one in its name")]
    Digest,
}

impl Error {
    pub(crate) fn format(object: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Format { object: object.into(), what: what.into() }
    }

    /// [`Error::Wal`] for content that its reader refused with `source`.
    pub(crate) fn wal_content(
        object: impl Into<String>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::Wal { object: object.into(), source: WalFault::Content(Box::new(source)) }
    }

    /// [`Error::Wal`] for a wrong structure.
    pub(crate) fn wal(object: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Wal { object: object.into(), source: WalFault::Form(what.into()) }
    }

    /// Whether an object is proven to be absent.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Storage(error) => error.is_not_found(),
            Self::StanzaMissing { .. } | Self::BackupMissing { .. } => true,
            _ => false,
        }
    }

    /// Whether the repository's content is damaged or missing. Other errors may be gone at the next attempt.
    pub fn is_damage(&self) -> bool {
        use storage::ErrorKind::{Damaged, Truncated};
        let damaged = matches!(
            self,
            Self::Damaged { .. }
                | Self::Format { .. }
                | Self::Incomplete { .. }
                | Self::OtherHistory { .. }
                | Self::Wal { .. }
        );
        let codec = matches!(
            self,
            Self::Codec {
                source: codec::Error::Damaged { .. }
                    | codec::Error::Length { .. }
                    | codec::Error::Trailing { .. }
                    | codec::Error::Checksum { .. }
                    | codec::Error::Tampered { .. },
                ..
            }
        );
        let stored = matches!(self, Self::Storage(e) if matches!(e.kind(), Damaged | Truncated));
        damaged || codec || stored || self.is_not_found()
    }
}

impl Failure for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Storage(error) => error.code(),
            Self::Invalid(error) => error.code(),
            Self::Wal { source: WalFault::Digest, .. } => ErrorCode::Checksum,
            Self::Format { .. } | Self::Wal { .. } => ErrorCode::Format,
            Self::Encrypted { .. } => ErrorCode::Crypto,
            Self::Version { .. } | Self::Foreign { .. } => ErrorCode::RepoInvalid,
            Self::Damaged { .. } => ErrorCode::Checksum,
            Self::StanzaMissing { .. } => ErrorCode::FileMissing,
            Self::StanzaMismatch { code, .. } => *code,
            Self::BackupMissing { .. } => ErrorCode::BackupSetInvalid,
            Self::Work(error) => error.code(),
            Self::Incomplete { .. } => ErrorCode::FileMissing,
            Self::Unpublished { source, .. } => source.code(),
            Self::Host(error) => error.code(),
            Self::Locked { .. } => ErrorCode::LockAcquire,
            Self::Stopped { .. } => ErrorCode::Stop,
            Self::Duplicate { .. } => ErrorCode::ArchiveDuplicate,
            Self::OtherHistory { .. } => ErrorCode::ArchiveMismatch,
            Self::Bug { .. } => ErrorCode::Assert,
            Self::Codec { source, .. } => source.code(),
            Self::Contended { .. } => ErrorCode::LockAcquire,
            Self::LastKey { .. } => ErrorCode::Crypto,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Storage(error) => return error.hint(),
            Self::Host(error) => return error.hint(),
            Self::Invalid(_) => return None,
            Self::Codec { source, .. } if !self.is_damage() => return source.hint(),
            Self::Work(error) => return error.hint(),
            Self::Bug { .. } => "this is a bug in pgstrata: please report it with the log",
            Self::LastKey { .. } => "add another pass phrase with repo-key add first",
            Self::Contended { .. } => "try again when no other command changes it",
            Self::Codec { .. } | Self::Format { .. } | Self::Damaged { .. } => {
                "the object was damaged after it was written; use another backup or repository"
            }
            Self::Wal { .. } => {
                "the object was damaged in the repository, and recovery from any backup needs it. If another repository \
                 has the file, archive-get reads it from there. If pg_wal of a server still has it, remove the object \
                 and run archive-push on the file"
            }
            Self::Encrypted { .. } => {
                "set repoN-cipher-type=aes-256-gcm and repoN-cipher-pass for this repository"
            }
            Self::Foreign { .. } => {
                "set repoN-path to a separate path, such as /var/lib/pgstrata, and run stanza-create; keep the old \
                 backups where they are as long as they are needed: only the program that made them can restore them"
            }
            Self::Version { .. } => "use the pgstrata version that wrote it, or a newer one",
            Self::StanzaMissing { .. } => {
                "has stanza-create been performed, and is repoN-path correct?"
            }
            Self::StanzaMismatch { .. } => {
                "after a PostgreSQL upgrade run stanza-upgrade; otherwise check that the stanza and \
                 the connection name the same cluster"
            }
            Self::BackupMissing { .. } => "run the info command to list the backups",
            Self::Incomplete { .. } => {
                "restore the objects from a copy of the repository, or remove the backup with expire --set; until then \
                 nothing else is expired"
            }
            Self::Unpublished { .. } => {
                "no object of the backup was removed: when the repository is available again, run info to see whether the \
                 backup exists; if it does not, take another one"
            }
            Self::Locked { .. } => {
                "another backup, restore or expire of this stanza is running on this host"
            }
            Self::Stopped { .. } => "run the start command to allow commands again",
            Self::OtherHistory { .. } => {
                "two servers were promoted to the same timeline, and the other one archived its history file first: \
                 give it a stanza of its own, or restore copies with --archive-mode=off"
            }
            Self::Duplicate { .. } => {
                "two servers archive into one stanza, or a restored copy archives into production; keep the right file \
                 and remove the other one by hand"
            }
        };
        Some(text.to_owned())
    }
}
