//! Entries that prove a copy to be of the whole cluster: its directories, and the files that stand for a database. Noted while a backup is taken, and compared with the server's catalogs at its end.

use std::collections::{BTreeSet, HashSet};

use super::source::FileKind;
use crate::{postgres::Required, types::DataPath};

/// The directories of a backup, and its files `PG_VERSION` and `pg_filenode.map`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Landmarks(HashSet<DataPath>);

impl Landmarks {
    /// Notes an entry of the backup.
    pub(super) fn note(&mut self, path: &DataPath, kind: &FileKind) {
        let is_file = matches!(kind, FileKind::File { .. });
        if !is_file || matches!(path.file_name(), b"PG_VERSION" | b"pg_filenode.map") {
            self.0.insert(path.clone());
        }
    }

    /// The part of `required` that the backup lacks.
    pub fn missing(&self, required: &BTreeSet<Required>) -> BTreeSet<Required> {
        required.iter().filter(|one| !self.0.contains(&one.path)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::RequiredKind;

    #[test]
    fn a_database_without_its_directory_is_missing() {
        let path = |text: &str| DataPath::new(text.as_bytes()).unwrap();
        let file = FileKind::File { size: 3, unchanged: 0 };
        let mut landmarks = Landmarks::default();
        landmarks.note(&path("base"), &FileKind::Directory);
        landmarks.note(&path("base/5"), &FileKind::Link { target: b"/away".to_vec() });
        landmarks.note(&path("base/5/PG_VERSION"), &file);
        landmarks.note(&path("base/5/1259"), &file);
        let required = |text: &str| Required {
            path: path(text),
            kind: RequiredKind::File,
            owner: "database 'app'".to_owned(),
        };
        let all = ["base", "base/5", "base/5/PG_VERSION", "base/6/PG_VERSION", "base/5/1259"];
        let missing = landmarks.missing(&all.map(required).into());
        assert_eq!(missing, ["base/6/PG_VERSION", "base/5/1259"].map(required).into());
    }
}
