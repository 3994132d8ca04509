//! What the operating system's errors mean.

use std::{io, os::unix::fs::MetadataExt, path::Path};

use rustix::io::Errno;

use crate::{
    host::User,
    storage::{Error, ErrorKind, crash_safe::SymbolicLink},
    types::open_files_hint,
};

/// What to do about a symbolic link.
const LINK_HINT: &str = "move or mount its target here: symbolic links are not followed";

/// The error of `operation` on `object`.
pub(super) fn failure(operation: &'static str, object: String, error: io::Error) -> Error {
    let kind = kind_of(&error);
    let is_link = error.get_ref().is_some_and(|inner| inner.is::<SymbolicLink>());
    let hint = match kind {
        ErrorKind::Denied if is_link => Some(LINK_HINT.to_owned()),
        ErrorKind::Denied => hint_of(&error, Path::new(&object)),
        _ => open_files_hint(&error).map(str::to_owned),
    };
    let failed = Error::new(kind, operation, object).caused_by(error);
    let failed = match hint {
        Some(hint) => failed.with_hint(hint),
        None => failed,
    };
    match kind {
        ErrorKind::Other | ErrorKind::Transient => failed.with_file_code(),
        _ => failed,
    }
}

fn kind_of(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
        io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        io::ErrorKind::UnexpectedEof => ErrorKind::Truncated,
        _ => match Errno::from_io_error(error) {
            Some(Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::LOOP) => ErrorKind::Denied,
            Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => ErrorKind::Full,
            Some(Errno::AGAIN | Errno::INTR | Errno::MFILE | Errno::NFILE | Errno::TIMEDOUT) => {
                ErrorKind::Transient
            }
            _ => ErrorKind::Other,
        },
    }
}

/// Says whose the file is, or the nearest directory above it that can be seen, and who was refused.
fn hint_of(error: &io::Error, object: &Path) -> Option<String> {
    match Errno::from_io_error(error) {
        Some(Errno::ROFS) => {
            return Some("the file system is mounted read-only: mount it read-write".to_owned());
        }
        Some(Errno::ACCESS | Errno::PERM) => {}
        // A link, which the message names.
        _ => return None,
    }
    let seen = |path: &Path| Some((path.to_owned(), std::fs::symlink_metadata(path).ok()?));
    let (path, found) = object.ancestors().find_map(seen)?;
    let (path, mode) = (path.display(), found.mode() & 0o7777);
    let (owner, user) = (User::new(found.uid()), User::current());
    let about = format!("'{path}' belongs to user {owner} (mode {mode:04o}), this is user {user}");
    Some(match owner.is_root() {
        true => format!("{about}; if a command run as root created it: chown {user} '{path}'"),
        false => format!("{about}: run the command as {owner}, or correct owner and mode"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{ErrorCode, Failure};

    #[test]
    fn the_cause_decides_the_meaning() {
        let kind = |errno: Errno| failure("write", "x".into(), errno.into()).kind();
        assert_eq!(kind(Errno::NOENT), ErrorKind::NotFound);
        assert_eq!(kind(Errno::EXIST), ErrorKind::AlreadyExists);
        assert_eq!(kind(Errno::ACCESS), ErrorKind::Denied);
        assert_eq!(kind(Errno::PERM), ErrorKind::Denied);
        assert_eq!(kind(Errno::ROFS), ErrorKind::Denied);
        assert_eq!(kind(Errno::NOSPC), ErrorKind::Full);
        assert_eq!(kind(Errno::DQUOT), ErrorKind::Full);
        assert_eq!(kind(Errno::IO), ErrorKind::Other);
        assert_eq!(failure("write", "x".into(), Errno::IO.into()).code(), ErrorCode::FileWrite);
        assert_eq!(failure("read", "x".into(), Errno::IO.into()).code(), ErrorCode::FileRead);
    }
}
