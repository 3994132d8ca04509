//! What is made in the target: directories, files, and `pg_control`, which comes last.

use std::collections::{BTreeMap, BTreeSet};

use super::{databases::is_emptied, layout::Layout, tampering::TABLESPACE_MODE_MASK};
use crate::{
    postgres::is_of_postgres,
    repo::file_list::{EntryKind, FileEntry},
    restore::Error,
    types::{DataPath, ErrorCode, Oid, RecoveryTarget},
};

/// The file without which PostgreSQL cannot start, and so the last to be put in place.
pub const CONTROL_FILE: &str = "global/pg_control";
/// The name under which it is prepared.
pub const CONTROL_FILE_PENDING: &str = "global/pg_control.pgstrata";

/// Files that are left out and that pg_verifybackup would miss: from the first PostgreSQL makes the links to the
/// tablespaces again when recovery starts, with the second it does not start (xlogrecovery.c).
pub const MISSING_TO_VERIFY: [&str; 2] = ["tablespace_map", "recovery.conf"];

/// The file that says where recovery begins.
const BACKUP_LABEL: &str = "backup_label";

/// A file in the data directory that says a restore is under way, or was interrupted.
pub const MARKER: &str = "pgstrata.restoring";

/// Permission bits that count; others (setuid and the like) are dropped.
const MODE_MASK: u32 = 0o777;

/// A directory to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedDirectory {
    /// The path from the data directory.
    pub path: DataPath,
    /// Permission bits.
    pub mode: u32,
}

/// The entries of a backup, sorted out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entries {
    /// Directories, parents before children.
    pub directories: Vec<PlannedDirectory>,
    /// Files in the order they were stored, without the control file.
    pub files: Vec<FileEntry>,
    /// Files that come back without content, because their database is left out.
    pub emptied: Vec<FileEntry>,
    /// The control file.
    pub control: FileEntry,
    /// The mode of the data directory itself, which no entry records.
    pub data_mode: u32,
}

impl Entries {
    /// Sorts out what the file list holds, and refuses a list that contradicts itself.
    pub fn new(
        list: Vec<FileEntry>,
        layout: &Layout,
        target: &RecoveryTarget,
        data_mode: u32,
    ) -> Result<Self, Error> {
        // PostgreSQL refuses to start in a directory of any other mode.
        let data_mode = if data_mode & 0o040 != 0 { 0o750 } else { 0o700 };
        let mut directories = BTreeMap::new();
        let mut files = Vec::with_capacity(list.len());
        let mut control = None;
        for mut entry in list {
            entry.mode &= mode_mask(&entry.path, layout);
            match entry.kind {
                EntryKind::Dir => drop(directories.insert(entry.path, entry.mode)),
                EntryKind::Link { .. } => link(entry.path, layout, data_mode, &mut directories),
                EntryKind::File { .. } if entry.path.as_bytes() == CONTROL_FILE.as_bytes() => {
                    control = Some(entry);
                }
                EntryKind::File { .. } if is_left_out(&entry.path, target) => {}
                EntryKind::File { .. } => files.push(entry),
            }
        }
        let control = control.ok_or_else(|| {
            let what = format!("the backup does not contain '{CONTROL_FILE}'");
            Error::refused(ErrorCode::FileMissing, what, "restore another backup with --set")
        })?;
        if !files.iter().any(|file| file.path.as_bytes() == BACKUP_LABEL.as_bytes()) {
            // Recovery would begin at the checkpoint that pg_control names, and the copy be damaged without a word.
            let what = format!("the backup does not contain '{BACKUP_LABEL}'");
            let hint = "restore another backup with --set";
            return Err(Error::refused(ErrorCode::FileMissing, what, hint));
        }
        add_parents(&mut directories, &files, &control, data_mode);
        check_names(&directories, &files, &control)?;
        let directories =
            directories.into_iter().map(|(path, mode)| PlannedDirectory { path, mode }).collect();
        Ok(Self { directories, files, emptied: Vec::new(), control, data_mode })
    }

    /// Leaves the files of these databases without content.
    pub fn leave_out(&mut self, databases: &BTreeSet<Oid>) {
        let files = std::mem::take(&mut self.files).into_iter();
        (self.emptied, self.files) = files.partition(|file| is_emptied(&file.path, databases));
    }

    /// The mode of files that the backup does not have.
    pub fn file_mode(&self) -> u32 {
        if self.data_mode & 0o040 != 0 { 0o640 } else { 0o600 }
    }

    /// The bytes of all files together.
    pub fn size(&self) -> u64 {
        self.files.iter().chain([&self.control]).map(FileEntry::size).sum()
    }
}

/// Outside of the data directory, whose own mode keeps others out, the modes of the backup are not trusted.
fn mode_mask(path: &DataPath, layout: &Layout) -> u32 {
    let is_linked = is_of_postgres(path) && layout.is_outside(path);
    match path.is_within("pg_tblspc") || is_linked {
        true => MODE_MASK & TABLESPACE_MODE_MASK,
        false => MODE_MASK,
    }
}

/// A link that is not made again becomes a directory; so does what is behind one that is. One to another entry of the
/// data directory is made in any case.
fn link(path: DataPath, layout: &Layout, mode: u32, directories: &mut BTreeMap<DataPath, u32>) {
    if !layout.has_link(&path) {
        tracing::warn!("link '{path}' will be restored as a directory at the same location");
        directories.entry(path).or_insert(mode);
    }
}

/// Files of the backup that a restored copy must not have, or that are written again.
fn is_left_out(path: &DataPath, target: &RecoveryTarget) -> bool {
    match path.as_bytes() {
        b"postmaster.pid" | b"postmaster.opts" | b"backup_manifest" => true,
        b"recovery.signal" | b"standby.signal" => *target != RecoveryTarget::Preserve,
        // The links are made here. Made from this file they might lead to where the tablespaces of the origin are.
        name => MISSING_TO_VERIFY.iter().any(|missing| name == missing.as_bytes()),
    }
}

fn add_parents(
    directories: &mut BTreeMap<DataPath, u32>,
    files: &[FileEntry],
    control: &FileEntry,
    mode: u32,
) {
    let listed: Vec<DataPath> = directories.keys().cloned().collect();
    let all = listed.iter().chain(files.iter().chain([control]).map(|file| &file.path));
    for path in all {
        let mut parent = path.parent();
        while let Some(path) = parent.filter(|path| !directories.contains_key(path)) {
            parent = path.parent();
            directories.insert(path, mode);
        }
    }
}

/// A name that is there twice, or is a file and a directory, would make the result depend on order.
fn check_names(
    directories: &BTreeMap<DataPath, u32>,
    files: &[FileEntry],
    control: &FileEntry,
) -> Result<(), Error> {
    let mut seen: BTreeSet<&[u8]> = BTreeSet::new();
    let reserved = [CONTROL_FILE_PENDING, MARKER];
    for file in files.iter().chain([control]) {
        let path = file.path.as_bytes();
        let clash = directories.contains_key(&file.path) || !seen.insert(path);
        if clash || reserved.iter().any(|name| name.as_bytes() == path) {
            return Err(Error::refused(
                ErrorCode::Format,
                format!("the file list of the backup has an invalid entry for '{}'", file.path),
                "the repository was tampered with: restore another backup or repository",
            ));
        }
    }
    Ok(())
}
