//! A symbolic link that a restore makes or keeps.

use std::path::PathBuf;

use crate::types::DataPath;

/// Who says where a link leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedBy {
    /// The backup alone.
    Backup,
    /// An option.
    Option,
    /// The data directory that is restored into: it has the link.
    DataDirectory,
}

/// A path of the data directory that is a symbolic link, and what is behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedLink {
    /// The link, from the data directory.
    pub path: DataPath,
    /// Its target, absolute.
    pub target: PathBuf,
    /// Whether files of the backup lie behind it (false: it is a link to a file).
    pub is_directory: bool,
    /// Who names the target.
    pub named_by: NamedBy,
}

/// What follows `prefix` in `path`, empty for `prefix` itself; `None` where it is not below it.
pub(super) fn below<'a>(path: &'a DataPath, prefix: &DataPath) -> Option<&'a [u8]> {
    match path.as_bytes().strip_prefix(prefix.as_bytes())? {
        [] => Some(&[]),
        [b'/', rest @ ..] => Some(rest),
        _ => None,
    }
}
