//! Changes to what never changes: what is said of a backup after it was published is a series of
//! numbered objects in a directory beside its manifest, each created once.

use std::collections::BTreeMap;

use super::{
    Error,
    layout::{number_of, numbered},
    metadata,
    object_header::ObjectKind,
};
use crate::storage::{ErrorKind, ObjectPath, Storage};

/// How many numbers of other writers are skipped before giving up.
const TRIES_MAX: u32 = 100;

/// What the name of the second object of a change ends with.
pub const COPY_SUFFIX: &str = ".copy";

/// The number of a change, and whether the object is the second one of it; `None` for any other name.
pub fn change_of(file_name: &str) -> Option<(u32, bool)> {
    match file_name.strip_suffix(COPY_SUFFIX) {
        Some(name) => Some((number_of(name)?, true)),
        None => Some((number_of(file_name)?, false)),
    }
}

/// Where the second object of a change is.
pub fn copy_path(directory: &ObjectPath, number: u32) -> Result<ObjectPath, Error> {
    Ok(directory.join(&format!("{}{COPY_SUFFIX}", numbered(number)))?)
}

/// The objects of each change in `directory`, in the order of their numbers: the change itself before its copy.
pub async fn objects(
    storage: &dyn Storage,
    directory: &ObjectPath,
) -> Result<BTreeMap<u32, Vec<ObjectPath>>, Error> {
    let mut changes: BTreeMap<u32, Vec<ObjectPath>> = BTreeMap::new();
    // The listing is in the order of the names, in which a change comes before its copy.
    for entry in storage.list(directory, false).await? {
        if let Some((number, _)) = change_of(entry.path.file_name()) {
            changes.entry(number).or_default().push(entry.path);
        }
    }
    Ok(changes)
}

/// The changes in `directory`, in the order of their numbers.
pub(super) async fn list(
    storage: &dyn Storage,
    directory: &ObjectPath,
) -> Result<Vec<ObjectPath>, Error> {
    let objects = objects(storage, directory).await?;
    Ok(objects.into_values().filter_map(|paths| paths.into_iter().next()).collect())
}

/// Creates the next change; its number.
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
            Err(Error::Storage(error)) if error.kind() == ErrorKind::AlreadyExists => {}
            other => return other.map(|_| number),
        }
    }
    Err(Error::Contended { object: directory.to_string() })
}
