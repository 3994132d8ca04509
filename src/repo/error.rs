//! What can be wrong with a repository.

use super::manifest::{Span, WalPosition};
use crate::{
    codec, host, storage,
    types::{ErrorCode, Failure, Invalid},
    work,
};

/// A failed operation on a repository.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// A name in the repository, or made for it, is not valid.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The bytes are not of the format they should be of.
    #[error("'{object}' is not valid: {what}")]
    Format {
        /// The object.
        object: String,
        /// What is wrong with it.
        what: String,
    },
    /// The object is encrypted, and was to be read as it is.
    #[error("'{object}' is encrypted")]
    Encrypted {
        /// The object.
        object: String,
    },
    /// A newer version of the program wrote the object.
    #[error(
        "'{object}' has format version {found}, but this program reads versions up to {newest}"
    )]
    Version {
        /// The object.
        object: String,
        /// The version found.
        found: u16,
        /// The newest version that can be read.
        newest: u16,
    },
    /// The bytes are not those that were stored.
    #[error("'{object}' is damaged: its {what} does not match what was recorded")]
    Damaged {
        /// The object.
        object: String,
        /// What does not match, such as "SHA-256".
        what: &'static str,
    },
    /// An object of the WAL archive is not what was stored.
    #[error("'{object}' is no whole WAL file: {source}")]
    Wal {
        /// The object.
        object: String,
        /// What is wrong with it.
        source: WalFault,
    },
    /// The files of another program are where a repository should be.
    #[error("'{object}' is a file of {tree}, which is not ours: nothing there is read or changed")]
    Foreign {
        /// A file that shows it.
        object: String,
        /// What it is, such as "a pgBackRest repository".
        tree: &'static str,
    },
    /// The stanza has no history in this repository.
    #[error("stanza '{stanza}' does not exist in repository '{location}'")]
    StanzaMissing {
        /// The stanza.
        stanza: String,
        /// The repository.
        location: String,
    },
    /// The stanza belongs to another cluster.
    #[error("{found} is not the cluster of stanza '{stanza}', which is {expected}")]
    StanzaMismatch {
        /// The stanza.
        stanza: String,
        /// The cluster that the stanza belongs to.
        expected: String,
        /// The cluster at hand.
        found: String,
        /// The code, which depends on who asks.
        code: ErrorCode,
    },
    /// There is no such backup.
    #[error("backup '{label}' does not exist in repository '{location}'")]
    BackupMissing {
        /// The label.
        label: String,
        /// The repository.
        location: String,
    },
    /// Objects of the backup are not there.
    #[error("backup '{label}' in repository '{location}' is incomplete: {missing} missing")]
    Incomplete {
        /// The label.
        label: String,
        /// The repository.
        location: String,
        /// The objects that are missing, by their names in the directory of the backup.
        missing: String,
    },
    /// A manifest was sent, and whether it is in the repository is not known.
    #[error("whether '{object}' was written is not known: {source}")]
    Unpublished {
        /// The manifest.
        object: String,
        /// Why the write failed.
        source: storage::Error,
    },
    /// A file of this host that a lock needs could not be used.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// Another process holds the lock.
    #[error("unable to acquire lock on file '{path}': another process holds it{holder}")]
    Locked {
        /// The lock file.
        path: String,
        /// Who holds it, where that is known.
        holder: String,
    },
    /// The stanza was stopped.
    #[error("stop file exists for {whom}: '{path}'")]
    Stopped {
        /// "all stanzas" or the stanza.
        whom: String,
        /// The file.
        path: String,
    },
    /// Bytes could not be compressed, decompressed or decrypted.
    #[error("unable to process '{object}': {source}")]
    Codec {
        /// The object or file.
        object: String,
        /// What the codec says.
        source: codec::Error,
    },
    /// The program found itself in a state that cannot be.
    #[error("the program is in a state that cannot be: {what}")]
    Bug {
        /// The state.
        what: &'static str,
    },
    /// The last key object of an encrypted repository was to be removed.
    #[error("'{object}' is the last key object, without which nothing can be decrypted")]
    LastKey {
        /// The key object.
        object: String,
    },
    /// Another process took every number that was tried.
    #[error("unable to add to '{object}': others added to it each time")]
    Contended {
        /// The directory.
        object: String,
    },
    /// The history of the timeline on which a backup stopped does not lead back to where it began.
    #[error(
        "'{}' is not the history of the backup's WAL: it does not lead from {} on timeline {} to {} on timeline {}",
        .wal.stop.timeline.history_file_name(), .wal.start.lsn, .wal.start.timeline, .wal.stop.lsn, .wal.stop.timeline
    )]
    OtherHistory {
        /// Where the backup began and stopped.
        wal: Span<WalPosition>,
    },
    /// A thread or a task did not do its work.
    #[error(transparent)]
    Work(#[from] work::Error),
    /// The archive holds two different files under one name.
    #[error("{what}")]
    Duplicate {
        /// What was found.
        what: String,
    },
}

/// What is wrong with an object of the WAL archive.
#[derive(Debug, thiserror::Error)]
pub enum WalFault {
    /// Its form is wrong.
    #[error("{0}")]
    Form(String),
    /// It could not be decompressed.
    #[error(transparent)]
    Codec(#[from] codec::Error),
    /// It holds no timeline history.
    #[error(transparent)]
    History(#[from] Invalid),
    /// The bytes are not those that were stored.
    #[error("its SHA-256 is not the one in its name")]
    Digest,
}

impl Error {
    pub(crate) fn format(object: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Format { object: object.into(), what: what.into() }
    }

    /// An object of the WAL archive whose form is wrong.
    pub(crate) fn wal(object: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Wal { object: object.into(), source: WalFault::Form(what.into()) }
    }

    /// Whether an object was proven not to be there.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Storage(error) => error.is_not_found(),
            Self::StanzaMissing { .. } | Self::BackupMissing { .. } => true,
            _ => false,
        }
    }

    /// Whether the repository does not hold what it should. Other errors may pass when tried again.
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
            Self::Bug { .. } => "this is a defect of the program: report it with the log",
            Self::LastKey { .. } => "add another pass phrase with repo-key add before",
            Self::Contended { .. } => "try again when no other process changes it",
            Self::Codec { .. } | Self::Format { .. } | Self::Damaged { .. } => {
                "the object was changed after it was written; use another backup or repository"
            }
            Self::Wal { .. } => {
                "the object was cut, emptied or changed in the repository, and no other backup helps: recovery needs \
                 this file. Where another repository has it, archive-get takes it from there. Where pg_wal of a server \
                 still has it, remove the object and run archive-push on the file"
            }
            Self::Encrypted { .. } => {
                "set repoN-cipher-type=aes-256-gcm and repoN-cipher-pass for this repository"
            }
            Self::Foreign { .. } => {
                "set repoN-path to a path of its own, such as /var/lib/pgstrata, and run \
                 stanza-create; keep the old backups there until they are no longer needed, its own \
                 program restores them"
            }
            Self::Version { .. } => "use the version of the program that wrote it, or a newer one",
            Self::StanzaMissing { .. } => {
                "has stanza-create been run, and is the repository path the right one?"
            }
            Self::StanzaMismatch { .. } => {
                "after a PostgreSQL upgrade run stanza-upgrade; otherwise check that the stanza and \
                 the connection name the same cluster"
            }
            Self::BackupMissing { .. } => "info lists the backups that exist",
            Self::Incomplete { .. } => {
                "bring the objects back from a copy, or remove the backup with expire --set; until \
                 then nothing else is expired"
            }
            Self::Unpublished { .. } => {
                "nothing of the backup was removed: once the repository answers, run info to see \
                 whether the backup is there; if it is not, take another one"
            }
            Self::Locked { .. } => {
                "another backup, restore or expire of this stanza is running on this host"
            }
            Self::Stopped { .. } => "run the start command to allow it again",
            Self::OtherHistory { .. } => {
                "two servers were promoted to the same timeline, and the other one archived its history file first: \
                 give it a stanza of its own, or restore copies with --archive-mode=off"
            }
            Self::Duplicate { .. } => {
                "two servers archived into one stanza, or a restored copy archives into production; \
                 keep the right file and remove the other by hand"
            }
        };
        Some(text.to_owned())
    }
}
