//! What can go wrong with a data directory on this host.

use std::{io, path::PathBuf};

use crate::types::{ErrorCode, Failure};

const LINK_BROKEN: &str = "mount what the link leads to where this process runs, or remove the link if the \
                           server does not need it";
const LINK_INSIDE: &str = "stop the server, and put what the link leads to in its place, or move it out of the data \
                           directory and let the link lead there";
const LINKED_TABLESPACES: &str = "stop the server, and put what the link leads to in its place: the tablespaces \
                                  themselves may be anywhere";
const LINK_LOOP: &str = "remove the link: the server needs no such link";

/// A failure to read a data directory. Every path is that on this host.
#[derive(Debug, thiserror::Error)]
pub enum DataDirectoryError {
    /// The data directory, or a directory in it, cannot be opened or listed.
    #[error("unable to open directory '{}': {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// What an entry is cannot be found out.
    #[error("unable to examine '{}': {source}", path.display())]
    Examine {
        /// The entry.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file cannot be opened.
    #[error("unable to open '{}': {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("unable to read '{}': {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file was to be read and is something else.
    #[error("'{}' is not a regular file", path.display())]
    NotRegular {
        /// The entry.
        path: PathBuf,
    },
    /// Directories are nested deeper than anything that PostgreSQL makes.
    #[error("'{}' is more than {limit} directories deep", path.display())]
    TooDeep {
        /// The first directory that is too deep.
        path: PathBuf,
        /// How deep is allowed.
        limit: usize,
    },
    /// A path is longer than a backup can keep.
    #[error("the path of '{}' is too long: {} bytes", path.display(), path.as_os_str().len())]
    TooLong {
        /// The entry.
        path: PathBuf,
    },
    /// A link leads to nothing, as far as this process can see.
    #[error("link '{}' leads to '{target}', which this process cannot see", path.display())]
    LinkBroken {
        /// The link.
        path: PathBuf,
        /// Where it points, escaped.
        target: String,
    },
    /// A link leads to a directory that holds the link.
    #[error("link '{}' leads to a directory that it is itself in", path.display())]
    LinkLoop {
        /// The link.
        path: PathBuf,
    },
    /// A link leads to another place in the data directory, and the catalogs say that a database is behind it.
    #[error("link '{}' leads to another place in the data directory, so that no backup has what is behind it",
        path.display())]
    LinkInside {
        /// The link.
        path: PathBuf,
    },
    /// The directory of the links to tablespaces is a link itself.
    #[error("'{}' is a symbolic link, so that no backup has the links to tablespaces that are in it",
        path.display())]
    LinkedTablespaces {
        /// The directory.
        path: PathBuf,
    },
    /// A file that every data directory has is not there.
    #[error("'{}' is not there: this is no data directory", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// pg_control is not valid, each time that it was read.
    #[error("'{}' was not valid in {tries} tries: {source}", path.display())]
    ControlFile {
        /// The file.
        path: PathBuf,
        /// How often it was read.
        tries: u32,
        /// What was wrong the last time.
        source: Box<crate::postgres::Error>,
    },
}

impl DataDirectoryError {
    /// Whether a link is the cause: then the server does not send what is behind it either.
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
