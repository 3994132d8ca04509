//! Changes to what never changes: what is said of a backup after it was published is a series of
//! numbered objects in a directory beside its manifest, each created once.

use super::{
    Error,
    layout::{number_of, numbered},
    metadata,
    object_header::ObjectKind,
};
use crate::storage::{ErrorKind, ObjectPath, Storage};

/// How often a number taken by somebody else is stepped over before giving up.
const TRIES_MAX: u32 = 100;

/// The changes in `directory`, in the order of their numbers.
pub(super) async fn list(
    storage: &dyn Storage,
    directory: &ObjectPath,
) -> Result<Vec<ObjectPath>, Error> {
    let paths = numbers(storage, directory).await?.into_iter();
    Ok(paths.map(|number| directory.join(&numbered(number))).collect::<Result<_, _>>()?)
}

/// Creates the next change.
pub(super) async fn append(
    storage: &dyn Storage,
    directory: &ObjectPath,
    kind: ObjectKind,
    body: &[u8],
) -> Result<(), Error> {
    let first = numbers(storage, directory).await?.last().map_or(1, |last| last.saturating_add(1));
    for number in first..first.saturating_add(TRIES_MAX) {
        let path = directory.join(&numbered(number))?;
        match metadata::write(storage, &path, kind, body).await {
            Err(Error::Storage(error)) if error.kind() == ErrorKind::AlreadyExists => {}
            other => return other.map(drop),
        }
    }
    Err(Error::format(directory.as_str(), "too many changes at once"))
}

async fn numbers(storage: &dyn Storage, directory: &ObjectPath) -> Result<Vec<u32>, Error> {
    let listing = storage.list(directory, false).await?;
    let mut numbers: Vec<u32> =
        listing.iter().filter_map(|entry| number_of(entry.path.file_name())).collect();
    numbers.sort_unstable();
    Ok(numbers)
}
