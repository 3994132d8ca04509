//! Lists the backups of a stanza. A backup exists if it has a manifest; there is no index that could disagree.

use std::sync::Arc;

use super::{Error, REQUESTS_AT_ONCE, contents, layout, manifest::Manifest};
use crate::{
    storage::{EntryKind, Storage},
    types::{BackupLabel, StanzaName},
    work::try_map,
};

/// A backup and its manifest, or the error that reading it gave.
pub type ListedBackup = (BackupLabel, Result<Manifest, Error>);

/// The labels of all backup directories, oldest first, also of those without a manifest.
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

/// Every backup that exists, oldest first. One with an unreadable manifest or missing objects is listed with its error.
pub async fn list(
    storage: &Arc<dyn Storage>,
    stanza: &StanzaName,
) -> Result<Vec<ListedBackup>, Error> {
    let labels = directories(&**storage, stanza).await?;
    let read = |label: BackupLabel| {
        let (storage, stanza) = (Arc::clone(storage), stanza.clone());
        async move {
            let manifest = contents::read_whole(&*storage, &stanza, &label).await;
            Ok::<ListedBackup, Error>((label, manifest))
        }
    };
    let mut backups = try_map(labels, REQUESTS_AT_ONCE, read).await?;
    // No manifest: in progress, interrupted, or expired since the listing.
    backups.retain(|(_, manifest)| !matches!(manifest, Err(Error::BackupMissing { .. })));
    Ok(backups)
}

/// Every backup that exists, oldest first. One with an unreadable manifest or missing objects is an error.
pub async fn manifests(
    storage: &Arc<dyn Storage>,
    stanza: &StanzaName,
) -> Result<Vec<Manifest>, Error> {
    list(storage, stanza).await?.into_iter().map(|(_, manifest)| manifest).collect()
}
