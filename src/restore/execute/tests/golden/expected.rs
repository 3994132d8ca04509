//! What `fixtures/expected.txt` says that each backup of the golden repositories gives back, for authors of
//! another reader. A line for each entry: repository, backup (or `wal`), kind, mode, time, size, SHA-256, path.

use std::{fs, os::unix::ffi::OsStrExt, path::Path};

use super::*;
use crate::codec::Sha256Hasher;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/expected.txt");

/// The lines of one repository.
pub(super) struct Expected {
    repository: &'static str,
    lines: Vec<String>,
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256Hasher::digest(bytes).to_string()
}

impl Expected {
    pub(super) fn of(repository: &'static str) -> Self {
        Self { repository, lines: Vec::new() }
    }

    /// A backup as it was restored, without recovery settings.
    pub(super) fn backup(&mut self, label: &str, data: &Path) {
        let mut found = Vec::new();
        walk(data, data, &mut found);
        found.sort_by(|a, b| a.1.cmp(&b.1));
        for (facts, path) in found {
            let path = DataPath::new(&path).unwrap();
            self.lines.push(format!("{} {label} {facts} {path}", self.repository));
        }
    }

    /// A file of the archive.
    pub(super) fn wal(&mut self, name: &str, content: &[u8]) {
        let (size, digest) = (content.len(), sha256(content));
        self.lines.push(format!("{} wal file - - {size} {digest} {name}", self.repository));
    }

    /// Holds the lines against the file; writes them with `PGSTRATA_MAKE_FIXTURES` where it has none of the repository.
    pub(super) fn check(self) {
        let text = fs::read_to_string(FILE).unwrap_or_default();
        let own = |line: &&str| line.split(' ').next() == Some(self.repository);
        let listed: Vec<&str> = text.lines().filter(own).collect();
        if listed.is_empty() && std::env::var_os("PGSTRATA_MAKE_FIXTURES").is_some() {
            fs::write(FILE, format!("{text}{}\n", self.lines.join("\n"))).unwrap();
            return;
        }
        assert_eq!(self.lines, listed);
    }
}

/// Everything below a directory, also behind links: its facts, and its path from the root.
fn walk(root: &Path, directory: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let place = entry.unwrap().path();
        let name = place.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
        let metadata = fs::symlink_metadata(&place).unwrap();
        let mode = metadata.permissions().mode() & 0o7777;
        let facts = if metadata.is_symlink() {
            "link - - - -".to_owned()
        } else if metadata.is_dir() {
            format!("dir {mode:04o} - - -")
        } else {
            let content = fs::read(&place).unwrap();
            // PostgreSQL's manifest is written by the restore.
            let made = name == b"backup_manifest";
            let time = if made { "-".to_owned() } else { metadata.mtime().to_string() };
            format!("file {mode:04o} {time} {} {}", content.len(), sha256(&content))
        };
        found.push((facts, name));
        if !metadata.is_file() {
            walk(root, &place, found);
        }
    }
}
