//! Reads what a plan is made from: the backups with their marks, the directories without a manifest, the archives.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Error, ExpireOptions, Result};
use crate::{
    repo::{
        self, REQUESTS_AT_ONCE, archive, backup_list, foreign,
        keep::{self, KeepMark},
        layout::{self, BackupPaths, FILE_LIST, LOST, MANIFEST},
        manifest::Manifest,
        retention::{
            BackupSummary, ExpirePlan, GRACE_SECONDS, InProgress, Inventory, Scope, Unpublished,
        },
        stanza::StanzaHistory,
        started::Started,
    },
    storage::{Entry, EntryKind, Storage},
    types::{BackupLabel, StanzaName},
    work::try_map,
};

/// Reads the inventory; `None` where a backup was published meanwhile, so that it must be read again. Nothing is expired
/// while a backup is incomplete, because it counts as one and is none, unless that backup is what the scope names.
pub(super) async fn read(options: &ExpireOptions) -> Result<Option<Inventory>> {
    let ExpireOptions { storage: shared, stanza, scope, .. } = options;
    let storage = &**shared;
    let current = StanzaHistory::read(storage, stanza).await?.current().archive_id();
    // The directories of pgBackRest's backups have labels as ours have, and no manifest of ours.
    if let Some(error) = foreign::of_stanza(storage, stanza).await? {
        return Err(error.into());
    }
    let directories = directories(storage, stanza).await?;
    let mut manifests = Vec::with_capacity(directories.len());
    let mut incomplete = BTreeSet::new();
    let listed = backup_list::list(shared, stanza).await?;
    let scope = (scope, names_incomplete(scope, &listed));
    for (label, manifest) in listed {
        match manifest {
            Ok(manifest) => manifests.push(manifest),
            Err(error) => match incomplete_beside(storage, stanza, scope, &label, &error).await? {
                Some(manifest) => {
                    incomplete.insert(label);
                    manifests.push(manifest);
                }
                None => return Err(Error::Unreadable { label, source: error }),
            },
        }
    }
    let published: BTreeSet<BackupLabel> = manifests.iter().map(|m| m.label.clone()).collect();
    let backups =
        try_map(manifests, REQUESTS_AT_ONCE, |manifest| with_mark(shared.clone(), manifest))
            .await?;
    let known = |backup: BackupSummary| {
        if incomplete.contains(&backup.label) { backup.incomplete() } else { backup }
    };
    let mut backups: Vec<_> = backups.into_iter().map(known).collect();
    backups.sort_by(|a, b| a.label.cmp(&b.label));
    let mut unpublished = Vec::new();
    for (label, modified) in directories {
        if published.contains(&label) {
            continue;
        }
        match look_into(storage, stanza, label, modified).await? {
            Some(found) => unpublished.push(found),
            // It was published since the manifests were listed, and may build on a backup that would go.
            None => return Ok(None),
        }
    }
    let archives = archive::archive_ids(storage, stanza).await?;
    Ok(Some(Inventory { backups, unpublished, archives, current }))
}

/// Whether the backup that `scope` names is incomplete.
fn names_incomplete(
    scope: &Scope,
    listed: &[(BackupLabel, std::result::Result<Manifest, repo::Error>)],
) -> bool {
    listed.iter().any(|(label, found)| {
        let is_named = matches!(scope, Scope::Set(set) if set == label);
        is_named && matches!(found, Err(repo::Error::Incomplete { .. }))
    })
}

/// The manifest of an incomplete backup that does not keep the one that `scope` names from going: because it goes with
/// it, or because both are incomplete, and two of these must not keep each other.
async fn incomplete_beside(
    storage: &dyn Storage,
    stanza: &StanzaName,
    (scope, names_incomplete): (&Scope, bool),
    label: &BackupLabel,
    error: &repo::Error,
) -> Result<Option<Manifest>> {
    let (Scope::Set(set), repo::Error::Incomplete { .. }) = (scope, error) else {
        return Ok(None);
    };
    let manifest = Manifest::read(storage, stanza, label).await?;
    Ok((names_incomplete || manifest.references.contains(set)).then_some(manifest))
}

/// The directories of backups, and when they were last changed.
async fn directories(
    storage: &dyn Storage,
    stanza: &StanzaName,
) -> Result<Vec<(BackupLabel, Option<i64>)>> {
    let root = layout::backup_directory(stanza)?;
    let entries = storage.list(&root, false).await?;
    let directories = entries.iter().filter(|entry| entry.kind == EntryKind::Directory);
    let labelled = |entry: &Entry| Some((entry.path.file_name().parse().ok()?, entry.modified));
    Ok(directories.filter_map(labelled).collect())
}

async fn with_mark(storage: Arc<dyn Storage>, manifest: Manifest) -> Result<BackupSummary> {
    let mark = mark_of(storage, manifest.stanza.clone(), manifest.label.clone()).await?;
    Ok(BackupSummary::new(&manifest, mark))
}

async fn mark_of(
    storage: Arc<dyn Storage>,
    stanza: StanzaName,
    label: BackupLabel,
) -> Result<Option<KeepMark>> {
    let paths = BackupPaths::new(&stanza, &label)?;
    keep::read(&*storage, &paths).await.map_err(|source| Error::Unreadable { label, source })
}

/// The state of a backup directory without a manifest; `None` if it has a manifest by now.
async fn look_into(
    storage: &dyn Storage,
    stanza: &StanzaName,
    label: BackupLabel,
    modified: Option<i64>,
) -> Result<Option<Unpublished>> {
    let paths = BackupPaths::new(stanza, &label)?;
    let entries = storage.list(paths.directory(), true).await?;
    // The note of an expire is no sign of life of the backup.
    let is_of_backup = |entry: &Entry| entry.path.file_name() != LOST;
    let objects = || {
        let objects = entries.iter().filter(|e| matches!(e.kind, EntryKind::Object { .. }));
        objects.filter(|entry| is_of_backup(entry))
    };
    if objects().any(|entry| entry.path.file_name() == MANIFEST) {
        return Ok(None);
    }
    let newest = match objects().next() {
        None => modified,
        Some(_) => objects().map(|entry| entry.modified).max().flatten(),
    };
    let started = match Started::read(storage, &paths).await {
        Ok(notice) => Some(notice),
        Err(error) if error.is_not_found() => None,
        Err(error) if is_old(newest) => {
            tracing::warn!("the notice of an interrupted backup cannot be read: {error}");
            None
        }
        Err(source) => return Err(Error::Unreadable { label, source }),
    };
    let is_abandoned = started.as_ref().is_some_and(|notice| notice.writer.is_gone());
    let has_file_list = objects().any(|entry| entry.path.file_name() == FILE_LIST);
    let lost_since = Started::read_lost(storage, &paths).await?;
    Ok(Some(Unpublished { label, started, newest, is_abandoned, has_file_list, lost_since }))
}

/// Notes of each backup whose manifest is missing that this is known from now on: its time to be brought back begins.
pub(super) async fn note_lost(
    options: &ExpireOptions,
    inventory: &Inventory,
    plan: &ExpirePlan,
) -> Result<()> {
    let is_new = |found: &&Unpublished| {
        let is_lost = |building: &InProgress| building.is_lost && building.label == found.label;
        found.lost_since.is_none() && plan.in_progress.iter().any(is_lost)
    };
    for found in inventory.unpublished.iter().filter(is_new) {
        let paths = BackupPaths::new(&options.stanza, &found.label)?;
        Started::now(Vec::new(), None).write_lost(&*options.storage, &paths).await?;
    }
    Ok(())
}

fn is_old(newest: Option<i64>) -> bool {
    let now = jiff::Timestamp::now().as_second();
    newest.is_some_and(|newest| now.saturating_sub(newest) >= GRACE_SECONDS)
}

/// Looks once more, right before anything is removed: no backup has begun, and none of those that go
/// was marked or, as an interrupted backup, published or continued, as an interrupted copy is.
pub(super) async fn is_unchanged(
    options: &ExpireOptions,
    inventory: &Inventory,
    plan: &ExpirePlan,
) -> Result<bool> {
    let ExpireOptions { storage: shared, stanza, .. } = options;
    let storage = &**shared;
    let read = |label: &BackupLabel| mark_of(shared.clone(), stanza.clone(), label.clone());
    let marks = try_map(&plan.backups, REQUESTS_AT_ONCE, read).await?;
    let known: BTreeMap<_, _> = inventory.backups.iter().map(|b| (&b.label, b.mark)).collect();
    if plan.backups.iter().zip(marks).any(|(label, mark)| known.get(label) != Some(&mark)) {
        return Ok(false);
    }
    let is_planned = |found: &&Unpublished| plan.left_overs.contains(&found.label);
    for planned in inventory.unpublished.iter().filter(is_planned) {
        let found = look_into(storage, stanza, planned.label.clone(), planned.newest).await?;
        let same =
            |found: Unpublished| found.started == planned.started && found.newest <= planned.newest;
        if !found.is_some_and(same) {
            return Ok(false);
        }
    }
    let known = inventory.backups.iter().map(|backup| &backup.label);
    let known: BTreeSet<_> = known.chain(inventory.unpublished.iter().map(|u| &u.label)).collect();
    let directories = directories(storage, stanza).await?;
    Ok(directories.iter().all(|(label, _)| known.contains(label)))
}
