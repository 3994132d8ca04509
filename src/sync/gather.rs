//! Reads the input of the plan: histories, backups with their marks, and archives.

use std::sync::Arc;

use super::{BackupCopy, Error, HistoryMap, MarkedBackup, Route, SyncInventory, changes};
use crate::{
    repo::{
        self, REQUESTS_AT_ONCE, archive, backup_list, foreign,
        keep::{self, KeepMark},
        layout::BackupPaths,
        manifest::Manifest,
        stanza::StanzaHistory,
    },
    storage::{EntryKind, Storage},
    types::BackupLabel,
    work::try_map,
};

/// Reads both repositories.
pub(super) async fn gather(route: &Route) -> Result<SyncInventory, Error> {
    let Route { from, to, stanza } = route;
    let source = StanzaHistory::read(&**from, stanza).await?;
    let target = StanzaHistory::read_opt(&**to, stanza).await.map_err(Error::Target)?;
    let target_archives = archive::archive_ids(&**to, stanza).await.map_err(Error::Target)?;
    let known = target.as_ref().map(StanzaHistory::entries).unwrap_or_default();
    if known.is_empty() {
        foreign::refuse(&**to, stanza).await.map_err(Error::Target)?;
        let backups = backup_list::directories(&**to, stanza).await.map_err(Error::Target)?;
        if !backups.is_empty() || !target_archives.is_empty() {
            let location = to.location();
            return Err(Error::NoHistory { location, stanza: stanza.to_string() });
        }
    }
    let mut inventory = SyncInventory {
        location: from.location(),
        history: HistoryMap::new(stanza, source.entries(), known)?,
        archives: archive::archive_ids(&**from, stanza).await?,
        target_archives,
        ..SyncInventory::default()
    };
    for (label, manifest) in backup_list::list(from, stanza).await? {
        match manifest {
            Ok(manifest) => inventory.source.push(MarkedBackup { manifest, mark: None }),
            Err(error) => inventory.unreadable.push((label, error.into())),
        }
    }
    // Errors of the source are reported when its changes are copied.
    read_marks(from, &mut inventory.source).await?;
    for (label, manifest) in backup_list::list(to, stanza).await.map_err(Error::Target)? {
        match manifest.map_err(Error::Target) {
            Ok(manifest) => inventory.target.push(MarkedBackup { manifest, mark: None }),
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => {
                inventory.damaged.insert(label.clone());
                inventory.unreadable.push((label, error));
            }
        }
    }
    let lost = read_marks(to, &mut inventory.target).await.map_err(Error::Target)?;
    let lost = lost.into_iter().map(|(label, error)| (label, Error::Target(error)));
    inventory.unreadable.extend(lost);
    bring_marks(route, &mut inventory).await?;
    Ok(inventory)
}

/// Marks that will be copied count as existing.
async fn bring_marks(route: &Route, inventory: &mut SyncInventory) -> Result<(), Error> {
    for known in &inventory.source {
        let label = &known.manifest.label;
        let same = |other: &&mut MarkedBackup| other.manifest.label == *label;
        let Some(there) = inventory.target.iter_mut().find(same) else { continue };
        let directory = BackupPaths::new(&route.stanza, label)?.keep()?;
        match changes::missing_changes(route, &directory).await {
            Ok(missing) if missing.is_empty() => {}
            Ok(_) => there.mark = known.mark,
            // Reported when the changes are copied.
            Err(error) if error.is_of_one_object() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads the keep marks. A backup whose mark cannot be read counts as kept; the errors are returned.
async fn read_marks(
    storage: &Arc<dyn Storage>,
    backups: &mut [MarkedBackup],
) -> Result<Vec<(BackupLabel, repo::Error)>, repo::Error> {
    let read = |manifest: Manifest| {
        let storage = Arc::clone(storage);
        async move {
            let paths = BackupPaths::new(&manifest.stanza, &manifest.label)?;
            match keep::read(&*storage, &paths).await {
                // Expired since the listing.
                Err(error) if error.is_not_found() => Ok(Ok(None)),
                Err(error) if error.is_damage() => Ok::<_, repo::Error>(Err(error)),
                mark => mark.map(Ok),
            }
        }
    };
    let manifests: Vec<Manifest> = backups.iter().map(|known| known.manifest.clone()).collect();
    let marks = try_map(manifests, REQUESTS_AT_ONCE, read).await?;
    let mut lost = Vec::new();
    for (known, mark) in backups.iter_mut().zip(marks) {
        known.mark = mark.unwrap_or_else(|error| {
            lost.push((known.manifest.label.clone(), error));
            Some(KeepMark { until: None })
        });
    }
    Ok(lost)
}

/// Counts the objects of the backups to copy.
pub(super) async fn measure(route: &Route, copies: &mut [BackupCopy]) -> Result<(), Error> {
    for copy in copies {
        let paths = BackupPaths::new(&route.stanza, &copy.from.label)?;
        for entry in route.from.list(paths.directory(), true).await.map_err(Error::source)? {
            if let EntryKind::Object { size } = entry.kind {
                copy.objects += 1;
                copy.bytes += size;
            }
        }
    }
    Ok(())
}
