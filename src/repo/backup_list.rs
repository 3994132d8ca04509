//! Which backups exist: those with a manifest. Those of which objects are missing are listed with that error.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Error, concurrent::AT_ONCE_MAX, contents, layout, manifest::Manifest};
use crate::{
    storage::{EntryKind, Storage},
    types::{BackupLabel, StanzaName},
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
    let mut waiting = directories(&**storage, stanza).await?.into_iter();
    let mut reading = JoinSet::new();
    let mut backups = Vec::new();
    loop {
        while reading.len() < AT_ONCE_MAX
            && let Some(label) = waiting.next()
        {
            let (storage, stanza) = (Arc::clone(storage), stanza.clone());
            reading.spawn(async move {
                let manifest = contents::read_whole(&*storage, &stanza, &label).await;
                (label, manifest)
            });
        }
        match reading.join_next().await {
            None => break,
            Some(Ok((_, Err(Error::BackupMissing { .. })))) => {}
            Some(Ok(listed)) => backups.push(listed),
            Some(Err(error)) => return Err(Error::Task(error)),
        }
    }
    backups.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(backups)
}

/// Every backup that exists, oldest first; an unreadable manifest is an error.
pub async fn manifests(
    storage: &Arc<dyn Storage>,
    stanza: &StanzaName,
) -> Result<Vec<Manifest>, Error> {
    list(storage, stanza).await?.into_iter().map(|(_, manifest)| manifest).collect()
}
