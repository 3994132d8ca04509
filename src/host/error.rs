//! What can be wrong with a file of this host.

use std::io;

use super::User;
use crate::types::{ErrorCode, Failure};

/// A file or directory of this host cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused.
    #[error("unable to {operation} '{path}': {source}{}", owned_by(.owner))]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: String,
        /// Whose it is, where that explains the refusal.
        owner: Option<User>,
        /// The cause.
        source: io::Error,
    },
    /// It belongs to a user who is neither this one nor root.
    #[error("'{path}' belongs to user {owner}, and this process runs as user {}", User::current())]
    Stranger {
        /// The file or directory.
        path: String,
        /// Whose it is.
        owner: User,
    },
    /// Every user could change what is in the directory.
    #[error("'{path}' can be written to by every user of this host")]
    Open {
        /// The directory.
        path: String,
    },
    /// A symbolic link of another user.
    #[error("'{path}' is a symbolic link of user {owner}, which is not followed")]
    Link {
        /// The link.
        path: String,
        /// Whose it is.
        owner: User,
    },
    /// It is a link, a device, a directory, or has a second name elsewhere.
    #[error("'{path}' is not a file of its own: {what}")]
    NotAFile {
        /// The path.
        path: String,
        /// What it is.
        what: &'static str,
    },
}

fn owned_by(owner: &Option<User>) -> String {
    match owner {
        Some(owner) => format!(", it belongs to user {owner}"),
        None => String::new(),
    }
}

impl Error {
    /// Whether a file or link of another user is the cause.
    pub fn is_of_stranger(&self) -> bool {
        matches!(self, Self::Stranger { .. } | Self::Link { .. })
    }

    /// Whether the system refused for want of permission.
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
                "a command that ran as root made it: remove it, or give it to the user of the other \
                 commands: chown {} '{path}'",
                User::current()
            ),
            Self::Io { .. } => {
                "check owner and mode of the directory, and those above it".to_owned()
            }
            Self::Stranger { .. } | Self::Link { .. } => format!(
                "it must belong to the user that runs the commands, or to root: remove it if nobody needs \
                 it, or set another path, such as one made with: install -d -o {} -m 0770 /run/pgstrata",
                User::current()
            ),
            Self::Open { path } => {
                format!("take that right away: chmod o-w '{path}', or set another path")
            }
            Self::NotAFile { .. } => "somebody else may have put it there: look at it, and remove \
                                      it"
            .to_owned(),
        })
    }
}
