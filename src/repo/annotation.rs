//! Annotations of a backup. A manifest never changes, so each later change is an object of its own;
//! what holds is the manifest's annotations with every change applied in order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Error,
    layout::{BackupPaths, number_of},
    manifest::Manifest,
    metadata,
    object_header::ObjectKind,
};
use crate::storage::{ErrorKind, Storage};

const SIZE_MAX: usize = 1 << 20;
/// How often a number taken by somebody else is stepped over before giving up.
const TRIES_MAX: u32 = 100;

/// One change: values to set; an empty value removes its key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The keys and their new values.
    pub set: BTreeMap<String, String>,
}

/// The annotations that hold for a backup.
pub async fn effective(
    storage: &dyn Storage,
    manifest: &Manifest,
) -> Result<BTreeMap<String, String>, Error> {
    let paths = BackupPaths::new(&manifest.stanza, &manifest.label)?;
    let mut annotations = manifest.annotations.clone();
    for number in numbers(storage, &paths).await? {
        let path = paths.annotation(number)?;
        let body = metadata::read(storage, &path, ObjectKind::Annotation, SIZE_MAX).await?;
        let change: Change = metadata::from_json(&body, path.as_str())?;
        for (key, value) in change.set {
            match value.is_empty() {
                true => annotations.remove(&key),
                false => annotations.insert(key, value),
            };
        }
    }
    Ok(annotations)
}

/// Records a change.
pub async fn add(storage: &dyn Storage, paths: &BackupPaths, change: &Change) -> Result<(), Error> {
    let first = numbers(storage, paths).await?.last().map_or(1, |last| last + 1);
    for number in first..first.saturating_add(TRIES_MAX) {
        let path = paths.annotation(number)?;
        let body = metadata::to_json(change, path.as_str())?;
        match metadata::write(storage, &path, ObjectKind::Annotation, &body).await {
            Err(Error::Storage(error)) if error.kind() == ErrorKind::AlreadyExists => {}
            other => return other.map(drop),
        }
    }
    Err(Error::format(paths.directory().as_str(), "too many annotations at once"))
}

async fn numbers(storage: &dyn Storage, paths: &BackupPaths) -> Result<Vec<u32>, Error> {
    let listing = storage.list(&paths.annotations()?, false).await?;
    let mut numbers: Vec<u32> =
        listing.iter().filter_map(|entry| number_of(entry.path.file_name())).collect();
    numbers.sort_unstable();
    Ok(numbers)
}
