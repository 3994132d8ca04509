//! Which backups exist: those with a manifest. Those of which objects are missing are listed with that error.

use std::sync::Arc;

use super::{Error, REQUESTS_AT_ONCE, contents, layout, manifest::Manifest};
use crate::{
    storage::{EntryKind, Storage},
    types::{BackupLabel, StanzaName},
    work::try_map,
};

/// A backup of a listing: its label, and its manifest or why that could not be read.
pub type Listed = (BackupLabel, Result<Manifest, Error>);

/// The labels of all backup directories, oldest first, also of those that have no manifest.
pub async fn directories(
    storage: &dyn Storage,
    stanza: &StanzaName,
) -> Result<Vec<BackupLabel>, Error> {
    let entries = storage.list(&layout::backup_directory(stanza)?, false).await?;
    let mut labels: Vec<BackupLabel> = entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::Directory)
        .filter_map(|entry| entry.path.file_name().parse().ok())
        .collect();
    labels.sort();
    Ok(labels)
}

/// Every backup that exists, oldest first. A manifest that cannot be read, and a backup of which objects are missing, is
/// listed with its error.
pub async fn list(storage: &Arc<dyn Storage>, stanza: &StanzaName) -> Result<Vec<Listed>, Error> {
    let labels = directories(&**storage, stanza).await?;
    let read = |label: BackupLabel| {
        let (storage, stanza) = (Arc::clone(storage), stanza.clone());
        async move {
            let manifest = contents::read_whole(&*storage, &stanza, &label).await;
            Ok::<Listed, Error>((label, manifest))
        }
    };
    let mut backups = try_map(labels, REQUESTS_AT_ONCE, read).await?;
    backups.retain(|(_, manifest)| !matches!(manifest, Err(Error::BackupMissing { .. })));
    Ok(backups)
}

/// Every backup that exists, oldest first; an unreadable manifest is an error.
pub async fn manifests(
    storage: &Arc<dyn Storage>,
    stanza: &StanzaName,
) -> Result<Vec<Manifest>, Error> {
    list(storage, stanza).await?.into_iter().map(|(_, manifest)| manifest).collect()
}
