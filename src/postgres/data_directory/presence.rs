//! Checks that the paths required by the server's catalogs are visible to this process, which may run in another mount
//! namespace than the server, or before a file system was mounted.

use std::{collections::BTreeSet, fmt, io};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat},
    io::Errno,
};

use super::DataDirectory;
use crate::postgres::{Required, RequiredKind};

/// Maximum number of paths in a message.
const NAMED_MAX: usize = 3;

/// A required path that this process cannot see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen {
    pub required: Required,
    pub reason: String,
}

impl Unseen {
    /// The first paths, and the number of the others.
    pub fn list(all: &[Self]) -> String {
        let named: Vec<String> = all.iter().take(NAMED_MAX).map(Self::to_string).collect();
        let more = match all.len().saturating_sub(NAMED_MAX) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        format!("{}{more}", named.join(", "))
    }
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' of {}: {}", self.required.path, self.required.owner, self.reason)
    }
}

impl DataDirectory {
    /// The paths of `required` that are missing here or of another type. Links are followed.
    pub fn unseen(&self, required: &BTreeSet<Required>) -> Vec<Unseen> {
        let unseen = |required: &Required| {
            let reason = self.why_unseen(required)?;
            Some(Unseen { required: required.clone(), reason })
        };
        required.iter().filter_map(unseen).collect()
    }

    /// Why a path is not visible; `None` if it is.
    fn why_unseen(&self, required: &Required) -> Option<String> {
        let stat = match statat(&self.root, required.path.as_bytes(), AtFlags::empty()) {
            Ok(stat) => stat,
            Err(errno) => return Some(io::Error::from(errno).to_string()),
        };
        match (required.kind, FileType::from_raw_mode(stat.st_mode)) {
            (RequiredKind::File, FileType::RegularFile)
            | (RequiredKind::Directory, FileType::Directory) => None,
            (RequiredKind::FilledDirectory, FileType::Directory) => self.why_empty(required),
            (RequiredKind::File, _) => Some("it is not a regular file".to_owned()),
            _ => Some("it is not a directory".to_owned()),
        }
    }

    fn why_empty(&self, required: &Required) -> Option<String> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat(&self.root, required.path.as_bytes(), flags, Mode::empty());
        let empty = opened.and_then(|directory| {
            for entry in Dir::read_from(directory)? {
                let name = entry?.file_name().to_owned();
                if name.as_c_str() != c"." && name.as_c_str() != c".." {
                    return Ok(false);
                }
            }
            Ok::<bool, Errno>(true)
        });
        match empty {
            Ok(false) => None,
            Ok(true) => Some("it is empty here".to_owned()),
            Err(errno) => Some(io::Error::from(errno).to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::types::DataPath;

    fn required(path: &str, kind: RequiredKind) -> Required {
        let path = DataPath::new(path.as_bytes()).unwrap();
        Required { path, kind, owner: "database 'app'".to_owned() }
    }

    #[test]
    fn what_is_missing_empty_or_something_else_is_not_seen() {
        use RequiredKind::{Directory, File, FilledDirectory};
        let dir = tempfile::tempdir().unwrap();
        let away = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("base/5")).unwrap();
        fs::create_dir_all(root.join("base/6")).unwrap();
        fs::write(root.join("base/5/PG_VERSION"), "15\n").unwrap();
        fs::create_dir_all(away.path().join("PG_15_1/7")).unwrap();
        std::os::unix::fs::symlink(away.path(), root.join("linked")).unwrap();
        std::os::unix::fs::symlink("/nowhere/at all", root.join("dangling")).unwrap();
        let directory = DataDirectory::open(root).unwrap();
        let reason = |path: &str, kind| directory.why_unseen(&required(path, kind));
        assert_eq!(reason("base/5/PG_VERSION", File), None);
        assert_eq!(reason("base/5", FilledDirectory), None);
        assert_eq!(reason("linked/PG_15_1", Directory), None);
        assert_eq!(reason("base/6", FilledDirectory).unwrap(), "it is empty here");
        assert_eq!(reason("linked/PG_15_1/7", FilledDirectory).unwrap(), "it is empty here");
        assert_eq!(reason("base/5", File).unwrap(), "it is not a regular file");
        assert_eq!(reason("base/5/PG_VERSION", Directory).unwrap(), "it is not a directory");
        for path in ["base/7", "dangling/PG_15_1", "base/5/PG_VERSION/x"] {
            assert!(reason(path, Directory).is_some(), "{path}");
        }
        let all: BTreeSet<_> =
            (10..15).map(|n| required(&format!("base/{n}"), FilledDirectory)).collect();
        let shown = Unseen::list(&directory.unseen(&all));
        assert!(shown.starts_with("'base/10' of database 'app': No such file"), "{shown}");
        assert!(shown.ends_with(", and 2 more"), "{shown}");
    }
}
