//! Errors with lock, stop and log files of this host.

use std::io;

use super::User;
use crate::types::{ErrorCode, Failure, open_files_hint};

/// A file or directory of this host cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("unable to {operation} '{path}': {source}{}", owned_by(.owner))]
    Io {
        operation: &'static str,
        path: String,
        /// The owner, if that explains the failure.
        owner: Option<User>,
        source: io::Error,
    },
    /// It belongs to another user, not to root.
    #[error("'{path}' belongs to user {owner}, but this process runs as user {}", User::current())]
    ForeignOwner { path: String, owner: User },
    #[error("'{path}' is writable by every user of this host")]
    Open { path: String },
    #[error("'{path}' is a symbolic link of user {owner}, which is not followed")]
    Link { path: String, owner: User },
    /// It is a link, a device or a directory, or has several hard links.
    #[error("'{path}' cannot be used: {what}")]
    NotAFile { path: String, what: &'static str },
}

fn owned_by(owner: &Option<User>) -> String {
    match owner {
        Some(owner) => format!(", it belongs to user {owner}"),
        None => String::new(),
    }
}

impl Error {
    /// Whether a file or link of another user is the cause.
    pub fn is_foreign(&self) -> bool {
        matches!(self, Self::ForeignOwner { .. } | Self::Link { .. })
    }

    /// Whether the system denied permission.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }
}

impl Failure for Error {
    fn code(&self) -> ErrorCode {
        ErrorCode::LockAcquire
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Io { path, owner: Some(owner), .. } if owner.is_root() => format!(
                "it was created by a command that ran as root: remove it, or change its owner: chown {} '{path}'",
                User::current()
            ),
            Self::Io { source, .. } => open_files_hint(source)
                .unwrap_or("check owner and mode of the directory and of its parent directories")
                .to_owned(),
            Self::ForeignOwner { .. } | Self::Link { .. } => format!(
                "it must belong to the user that runs the commands, or to root: remove it if it is not needed, \
                 or set another path, such as one created with: install -d -o {} -m 0770 /run/pgstrata",
                User::current()
            ),
            Self::Open { path } => {
                format!("run chmod o-w '{path}', or set another path")
            }
            Self::NotAFile { .. } => {
                "another user may have created it: check it, and remove it".to_owned()
            }
        })
    }
}
