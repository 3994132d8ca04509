//! Reads what a plan is made from: the histories, the backups with their marks, the archives.

use std::sync::Arc;

use super::{BackupCopy, Error, Facts, HistoryMap, Known, Route, changes};
use crate::{
    repo::{
        self, archive, backup_list, concurrent, keep, layout::BackupPaths, manifest::Manifest,
        stanza::StanzaHistory,
    },
    storage::{EntryKind, Storage},
    types::{BackupLabel, StanzaName},
};

/// Reads both repositories.
pub(super) async fn gather(route: &Route) -> Result<Facts, Error> {
    let Route { from, to, stanza } = route;
    let source = StanzaHistory::read(&**from, stanza).await?;
    let target = StanzaHistory::read_opt(&**to, stanza).await.map_err(Error::Target)?;
    let target_archives = archive::archive_ids(&**to, stanza).await.map_err(Error::Target)?;
    let known = target.as_ref().map(StanzaHistory::entries).unwrap_or_default();
    if known.is_empty() {
        let backups = backup_list::directories(&**to, stanza).await.map_err(Error::Target)?;
        if !backups.is_empty() || !target_archives.is_empty() {
            let location = to.location();
            return Err(Error::NoHistory { location, stanza: stanza.to_string() });
        }
    }
    let history = HistoryMap::new(stanza, source.entries(), known)?;
    let archives = archive::archive_ids(&**from, stanza).await?;
    let (mut manifests, mut unreadable) = (Vec::new(), Vec::new());
    for (label, manifest) in backup_list::list(from, stanza).await? {
        match manifest {
            Ok(manifest) => manifests.push(manifest),
            Err(error) => unreadable.push((label, error)),
        }
    }
    let labels: Vec<BackupLabel> = manifests.iter().map(|m| m.label.clone()).collect();
    let source = with_marks(from, stanza, manifests).await?;
    let manifests = backup_list::manifests(to, stanza).await.map_err(Error::Target)?;
    let mut target = with_marks(to, stanza, manifests).await.map_err(Error::Target)?;
    for known in target.iter_mut().filter(|known| labels.contains(&known.manifest.label)) {
        let label = &known.manifest.label;
        let directory = BackupPaths::new(stanza, label)?.keep()?;
        if !changes::missing(route, &directory).await?.is_empty() {
            known.mark = mark(Arc::clone(from), stanza.clone(), label.clone()).await?;
        }
    }
    let location = from.location();
    Ok(Facts { location, history, source, unreadable, target, archives, target_archives })
}

async fn with_marks(
    storage: &Arc<dyn Storage>,
    stanza: &StanzaName,
    manifests: Vec<Manifest>,
) -> Result<Vec<Known>, repo::Error> {
    let read = |manifest: Manifest| {
        let (storage, stanza) = (Arc::clone(storage), stanza.clone());
        async move {
            let mark = mark(storage, stanza, manifest.label.clone()).await?;
            Ok::<_, repo::Error>(Known { manifest, mark })
        }
    };
    concurrent::map(manifests, read).await
}

async fn mark(
    storage: Arc<dyn Storage>,
    stanza: StanzaName,
    label: BackupLabel,
) -> Result<Option<keep::KeepMark>, repo::Error> {
    keep::read(&*storage, &BackupPaths::new(&stanza, &label)?).await
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
