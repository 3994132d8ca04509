//! Errors of reading a data directory on this host.

use std::{io, path::PathBuf};

use crate::types::{ErrorCode, Failure};

const LINK_BROKEN: &str = "mount the link's target where pgstrata runs, or remove the link if the server does not need \
                           it";
const LINK_INSIDE: &str = "stop the server, and replace the link with its target, or move the target out of the data \
                           directory and update the link";
const LINKED_TABLESPACES: &str = "stop the server, and replace the link with its target: the tablespaces \
                                  themselves may be anywhere";
const LINK_LOOP: &str = "remove the link: the server needs no such link";

/// A failure to read a data directory. Every path is absolute on this host.
#[derive(Debug, thiserror::Error)]
pub enum DataDirectoryError {
    /// The data directory, or a directory in it, cannot be opened or listed.
    #[error("unable to open directory '{}': {source}", path.display())]
    Directory { path: PathBuf, source: io::Error },
    /// An entry cannot be examined.
    #[error("unable to examine '{}': {source}", path.display())]
    Examine { path: PathBuf, source: io::Error },
    /// A file cannot be opened.
    #[error("unable to open '{}': {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
    /// A file cannot be read.
    #[error("unable to read '{}': {source}", path.display())]
    Read {
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Expected a regular file.
    #[error("'{}' is not a regular file", path.display())]
    NotRegular { path: PathBuf },
    /// Directories are nested too deeply.
    #[error("'{}' is more than {limit} directories deep", path.display())]
    TooDeep { path: PathBuf, limit: usize },
    /// A path is too long for a backup.
    #[error("the path of '{}' is too long: {} bytes", path.display(), path.as_os_str().len())]
    TooLong { path: PathBuf },
    /// The target of a link is missing, or not visible to this process.
    #[error("link '{}' points to '{target}', which does not exist here", path.display())]
    LinkBroken {
        path: PathBuf,
        /// Control characters are escaped.
        target: String,
    },
    /// A link leads to a directory above it.
    #[error("link '{}' points to a directory that contains it", path.display())]
    LinkLoop { path: PathBuf },
    /// A link leads to another directory of the data directory, and a database is below the link according to the
    /// catalogs.
    #[error("link '{}' points to another path in the data directory, so no backup contains its target",
        path.display())]
    LinkInside { path: PathBuf },
    /// pg_tblspc is a link itself.
    #[error("'{}' is a symbolic link, so no backup contains the tablespace links in it",
        path.display())]
    LinkedTablespaces { path: PathBuf },
    /// A file that every data directory has is missing.
    #[error("'{}' does not exist: this is not a PostgreSQL data directory", path.display())]
    Missing { path: PathBuf },
    /// pg_control was invalid at every attempt to read it.
    #[error("'{}' was not valid in {tries} attempts: {source}", path.display())]
    ControlFile {
        path: PathBuf,
        tries: u32,
        /// The error of the last attempt.
        source: Box<crate::postgres::Error>,
    },
}

impl DataDirectoryError {
    /// Whether a link is the cause. BASE_BACKUP does not send the target of such a link either.
    pub fn is_of_link(&self) -> bool {
        matches!(
            self,
            Self::LinkBroken { .. }
                | Self::LinkLoop { .. }
                | Self::LinkInside { .. }
                | Self::LinkedTablespaces { .. }
        )
    }

    fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Directory { source, .. }
            | Self::Examine { source, .. }
            | Self::Open { source, .. }
            | Self::Read { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl Failure for DataDirectoryError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Directory { .. } => ErrorCode::PathOpen,
            Self::Examine { .. } => ErrorCode::FileInfo,
            Self::Open { .. } | Self::LinkBroken { .. } => ErrorCode::FileOpen,
            Self::LinkLoop { .. } | Self::LinkInside { .. } | Self::LinkedTablespaces { .. } => {
                ErrorCode::LinkDestination
            }
            Self::Read { .. } => ErrorCode::FileRead,
            Self::NotRegular { .. } | Self::TooDeep { .. } | Self::TooLong { .. } => {
                ErrorCode::FileInvalid
            }
            Self::Missing { .. } => ErrorCode::FileMissing,
            Self::ControlFile { source, .. } => source.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::LinkBroken { .. } => return Some(LINK_BROKEN.to_owned()),
            Self::LinkLoop { .. } => return Some(LINK_LOOP.to_owned()),
            Self::LinkInside { .. } => return Some(LINK_INSIDE.to_owned()),
            Self::LinkedTablespaces { .. } => return Some(LINKED_TABLESPACES.to_owned()),
            _ => {}
        }
        match self.io()?.kind() {
            io::ErrorKind::PermissionDenied => {
                Some("run as the user that owns the data directory.".to_owned())
            }
            _ => None,
        }
    }
}
