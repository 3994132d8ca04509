//! Targets of links: from the text of a backup or of an option to a path on this host.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use crate::{
    restore::Error,
    types::{DataPath, ErrorCode, unescape_path},
};

pub(super) fn link_map(name: &str, hint: &str) -> Error {
    Error::refused(ErrorCode::LinkMap, format!("unable to map link '{name}'"), hint)
}

/// The path whose text form is `text`. Climbing is what a relative link does; it is judged once it is absolute.
pub(super) fn path_from_text(text: &str) -> Result<PathBuf, Error> {
    let bytes = unescape_path(text)?;
    if bytes.is_empty() || bytes.contains(&0) {
        return Err(Error::refused(
            ErrorCode::Format,
            format!("the file list of the backup has a link to '{text}', which is not a path"),
            "the repository was tampered with: restore another backup or repository",
        ));
    }
    Ok(PathBuf::from(OsStr::from_bytes(&bytes)))
}

/// Makes a link's target absolute: it counts from the directory that holds the link.
pub(super) fn absolute_link(data: &Path, link: &DataPath, target: &Path) -> Result<PathBuf, Error> {
    let start = match link.parent() {
        Some(parent) => parent.under(data),
        None => data.to_owned(),
    };
    let mut absolute = PathBuf::new();
    for component in start.join(target).components() {
        match component {
            Component::ParentDir if !absolute.pop() => {
                return Err(link_map(&link.to_string(), "its target is above the root directory"));
            }
            Component::ParentDir | Component::CurDir => {}
            other => absolute.push(other),
        }
    }
    Ok(absolute)
}
