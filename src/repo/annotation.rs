//! Annotations of a backup. A manifest is never changed: a later annotation is an object of its own. The annotations in
//! force are those of the manifest with every change applied in order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Error, changes, layout::BackupPaths, manifest::Manifest, metadata, object_header::ObjectKind,
};
use crate::{storage::Storage, types::Nonce};

const SIZE_MAX: usize = 1 << 20;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// New values by key; an empty value removes the key.
    pub set: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Stored<'a> {
    #[serde(flatten)]
    change: &'a Change,
    /// Makes the object unique, so that a lost answer to its write can be told from another command's write.
    nonce: Nonce,
}

/// The annotations in force.
pub async fn effective(
    storage: &dyn Storage,
    manifest: &Manifest,
) -> Result<BTreeMap<String, String>, Error> {
    let paths = BackupPaths::new(&manifest.stanza, &manifest.label)?;
    let mut annotations = manifest.annotations.clone();
    for path in changes::list(storage, &paths.annotations()?).await? {
        let body = metadata::read(storage, &path, ObjectKind::Annotation, SIZE_MAX).await?;
        let change: Change = metadata::from_json(&body, path.as_str())?;
        for (key, value) in change.set {
            if value.is_empty() {
                annotations.remove(&key)
            } else {
                annotations.insert(key, value)
            };
        }
    }
    Ok(annotations)
}

pub async fn add(storage: &dyn Storage, paths: &BackupPaths, change: &Change) -> Result<(), Error> {
    let directory = paths.annotations()?;
    let stored = Stored { change, nonce: Nonce::random() };
    let body = metadata::to_json(&stored, directory.as_str())?;
    changes::append(storage, &directory, ObjectKind::Annotation, &body).await.map(drop)
}
