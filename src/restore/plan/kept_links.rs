//! The links of a data directory that a restore with `--delta` finds there. They stay: the backup may come from a source
//! that does not see links, and a directory that was moved to another disk belongs there.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::{
    layout::{PlacementOptions, TABLESPACES},
    targets::absolute_link,
};
use crate::{
    postgres::is_of_postgres,
    repo::file_list::FileEntry,
    restore::Error,
    types::{DataPath, ErrorCode},
};

/// Names that decide how PostgreSQL starts. A link of such a name is no wish of where something is kept.
const NEVER_KEPT: [&[u8]; 7] = [
    b"backup_label",
    b"backup_manifest",
    b"postmaster.opts",
    b"postmaster.pid",
    b"recovery.signal",
    b"standby.signal",
    b"tablespace_map",
];

impl PlacementOptions {
    /// The same, with the links that are in the data directory at `data`: where the backup has a directory or file in
    /// the place of a link, it goes behind the link.
    pub fn with_links_of(mut self, data: &Path, entries: &[FileEntry]) -> Result<Self, Error> {
        let found = links_of(data)?;
        if found.is_empty() {
            return Ok(self);
        }
        let by_path: HashMap<&DataPath, &FileEntry> =
            entries.iter().map(|entry| (&entry.path, entry)).collect();
        for (path, target) in found {
            let leads = absolute_link(data, &path, &target)?;
            if NEVER_KEPT.contains(&path.as_bytes()) || leads.starts_with(data) {
                continue;
            }
            if by_path.contains_key(&path) {
                self.keep(data, &path, target)?;
            } else if !is_of_postgres(&path) {
                self.staying.insert(path);
            }
        }
        Ok(self)
    }

    fn keep(&mut self, data: &Path, path: &DataPath, target: PathBuf) -> Result<(), Error> {
        // The names of options are text.
        let Ok(name) = String::from_utf8(path.as_bytes().to_vec()) else { return Ok(()) };
        if self.link_map.contains_key(&name) {
            return Ok(());
        }
        let place = path.under(data);
        match fs::metadata(&place) {
            Ok(_) => drop(self.kept.insert(name, target)),
            // A disk that is not mounted must not be taken for an empty one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::refused(
                    ErrorCode::PathMissing,
                    format!(
                        "link '{}' points to '{}', which does not exist",
                        place.display(),
                        target.display()
                    ),
                    "mount or create it, or remove the link",
                ));
            }
            Err(error) => return Err(Error::target("look at", &place, ErrorCode::FileInfo)(error)),
        }
        Ok(())
    }
}

/// The links in the data directory and their targets, but for those of tablespaces. None is followed.
fn links_of(data: &Path) -> Result<BTreeMap<DataPath, PathBuf>, Error> {
    let mut found = BTreeMap::new();
    let mut directories: Vec<Option<DataPath>> = vec![None];
    while let Some(directory) = directories.pop() {
        let at = directory.as_ref().map_or_else(|| data.to_owned(), |path| path.under(data));
        for (name, kind) in entries_of(&at)? {
            let path = match &directory {
                Some(parent) => [parent.as_bytes(), b"/", name.as_bytes()].concat(),
                None => name.as_bytes().to_vec(),
            };
            let path = DataPath::new(&path)?;
            let is_tablespace = directory
                .as_ref()
                .is_some_and(|parent| parent.as_bytes() == TABLESPACES.as_bytes());
            if kind.is_dir() {
                directories.push(Some(path));
            } else if kind.is_symlink() && !is_tablespace {
                let place = path.under(data);
                let target = fs::read_link(&place).map_err(Error::target(
                    "read link",
                    &place,
                    ErrorCode::FileInfo,
                ))?;
                found.insert(path, target);
            }
        }
    }
    Ok(found)
}

fn entries_of(directory: &Path) -> Result<Vec<(OsString, fs::FileType)>, Error> {
    let failed = |error| Error::target("list", directory, ErrorCode::PathOpen)(error);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        // The restore mends the modes of its own files before it writes; what it may not mend, it refuses then.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            tracing::warn!(
                "'{}' cannot be listed: links in it, if any, are replaced by their targets",
                directory.display()
            );
            return Ok(Vec::new());
        }
        Err(error) => return Err(failed(error)),
    };
    let named = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.map_err(failed)?;
        Ok((entry.file_name(), entry.file_type().map_err(failed)?))
    };
    entries.map(named).collect()
}
