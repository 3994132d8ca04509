//! Later changes of a published backup (annotations, keep mark). Objects are never overwritten, so each change is a new
//! numbered object in a directory beside the manifest.

use std::collections::BTreeMap;

use super::{
    Error,
    layout::{number_of, numbered},
    metadata,
    object_header::ObjectKind,
};
use crate::storage::{ErrorKind, ObjectPath, Storage};

/// How many numbers are tried that concurrent commands take first.
const TRIES_MAX: u32 = 100;

/// File name suffix of a change's copy. A keep mark is written twice, so that one lost object does not lose it.
pub const COPY_SUFFIX: &str = ".copy";

/// The number of a change and whether the object is its copy; `None` for any other name.
pub fn change_of(file_name: &str) -> Option<(u32, bool)> {
    match file_name.strip_suffix(COPY_SUFFIX) {
        Some(name) => Some((number_of(name)?, true)),
        None => Some((number_of(file_name)?, false)),
    }
}

pub fn copy_path(directory: &ObjectPath, number: u32) -> Result<ObjectPath, Error> {
    Ok(directory.join(&format!("{}{COPY_SUFFIX}", numbered(number)))?)
}

/// The objects of each change in `directory` by number: the change, then its copy.
pub async fn objects(
    storage: &dyn Storage,
    directory: &ObjectPath,
) -> Result<BTreeMap<u32, Vec<ObjectPath>>, Error> {
    let mut changes: BTreeMap<u32, Vec<ObjectPath>> = BTreeMap::new();
    // The listing is sorted by name, so a change comes before its copy.
    for entry in storage.list(directory, false).await? {
        if let Some((number, _)) = change_of(entry.path.file_name()) {
            changes.entry(number).or_default().push(entry.path);
        }
    }
    Ok(changes)
}

/// The changes in `directory` in ascending order; a copy only if its change is missing.
pub(super) async fn list(
    storage: &dyn Storage,
    directory: &ObjectPath,
) -> Result<Vec<ObjectPath>, Error> {
    let objects = objects(storage, directory).await?;
    Ok(objects.into_values().filter_map(|paths| paths.into_iter().next()).collect())
}

/// Creates the next change and returns its number.
pub(super) async fn append(
    storage: &dyn Storage,
    directory: &ObjectPath,
    kind: ObjectKind,
    body: &[u8],
) -> Result<u32, Error> {
    let newest = objects(storage, directory).await?.into_keys().next_back();
    let first = newest.map_or(1, |last| last.saturating_add(1));
    for number in first..first.saturating_add(TRIES_MAX) {
        let path = directory.join(&numbered(number))?;
        match metadata::write(storage, &path, kind, body).await {
            // Another command took the number since the listing.
            Err(Error::Storage(error)) if error.kind() == ErrorKind::AlreadyExists => {}
            other => return other.map(|_| number),
        }
    }
    Err(Error::Contended { object: directory.to_string() })
}
