//! Annotations of a backup. A manifest never changes, so each later change is an object of its own;
//! what holds is the manifest's annotations with every change applied in order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Error, changes, layout::BackupPaths, manifest::Manifest, metadata, object_header::ObjectKind,
};
use crate::{storage::Storage, types::Nonce};

const SIZE_MAX: usize = 1 << 20;

/// One change: values to set; an empty value removes its key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The keys and their new values.
    pub set: BTreeMap<String, String>,
}

/// A change as it is stored.
#[derive(Serialize)]
struct Stored<'a> {
    #[serde(flatten)]
    change: &'a Change,
    /// Tells this change from any other.
    nonce: Nonce,
}

/// The annotations that hold for a backup.
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
    let directory = paths.annotations()?;
    let stored = Stored { change, nonce: Nonce::random() };
    let body = metadata::to_json(&stored, directory.as_str())?;
    changes::append(storage, &directory, ObjectKind::Annotation, &body).await.map(drop)
}
