//! The expire plan: what is removed, in which order, and why the rest is kept.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;

use super::{
    BackupSummary, Error, InProgress, Inventory, KeepReason, LOST_GRACE_SECONDS, Scope, Settings,
    UnpublishedState,
    families::held_backups,
    selection::{KeptBackups, Selection, newest_clean, with_dependents},
    wal::{ArchiveRule, WalRetention, archive_rules},
};
use crate::types::{ArchiveId, BackupLabel, BackupType};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpirePlan {
    /// To be removed, newest first: a backup goes before those that it builds on, so an interrupted expire leaves no
    /// backup without its chain.
    pub backups: Vec<BackupLabel>,
    /// Directories of interrupted backups and expires, to be removed.
    pub left_overs: Vec<BackupLabel>,
    pub archives: Vec<(ArchiveId, ArchiveRule)>,
    /// Oldest first.
    pub kept: Vec<Kept>,
    /// Not touched.
    pub in_progress: Vec<InProgress>,
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub label: BackupLabel,
    /// At least one.
    pub reasons: Vec<KeepReason>,
}

/// Makes the plan. `now` is in seconds since 1970; `zone` defines where a day begins.
pub fn plan(
    inventory: &Inventory,
    settings: &Settings,
    scope: &Scope,
    now: i64,
    zone: &TimeZone,
) -> Result<ExpirePlan, Error> {
    let mut backups = inventory.backups.clone();
    backups.sort_by(|a, b| a.label.cmp(&b.label));
    let requested = requested_directory(inventory, scope, now)?;
    let (in_progress, left_overs) = classify_unpublished(inventory, requested, now);
    let held = held_backups(&backups, now);
    let selection = Selection {
        backups: &backups,
        held: &held,
        in_progress: &in_progress,
        settings,
        now,
        zone,
    };
    let chosen = choose(&selection, scope, requested.is_some())?;
    let (remaining, expired): (Vec<_>, Vec<_>) =
        backups.iter().cloned().partition(|backup| chosen.contains_key(&backup.label));
    let archives = archive_rules(&WalRetention {
        all: &backups,
        remaining: &remaining,
        held: &held,
        in_progress: &in_progress,
        inventory,
        settings,
        scope,
        now,
        zone,
    });
    let mut warnings = warnings(&backups, &remaining, &chosen, settings, scope);
    let lost = in_progress.iter().filter(|building| building.is_lost);
    warnings.extend(lost.map(|lost| lost_warning(lost, inventory)));
    Ok(ExpirePlan {
        backups: expired.into_iter().rev().map(|backup| backup.label).collect(),
        left_overs: match scope {
            Scope::Retention => left_overs,
            _ => requested.into_iter().cloned().collect(),
        },
        archives,
        kept: chosen.into_iter().map(|(label, reasons)| Kept { label, reasons }).collect(),
        in_progress,
        warnings,
    })
}

/// Divides the directories without manifest into backups in progress, lost backups and interrupted backups. A lost backup
/// is kept while another backup builds on it.
fn classify_unpublished(
    inventory: &Inventory,
    requested: Option<&BackupLabel>,
    now: i64,
) -> (Vec<InProgress>, Vec<BackupLabel>) {
    let (mut in_progress, mut left_overs) = (Vec::new(), Vec::new());
    for directory in inventory.unpublished.iter().filter(|found| Some(&found.label) != requested) {
        match directory.state(now) {
            UnpublishedState::InProgress(building) | UnpublishedState::Lost(building) => {
                in_progress.push(building);
            }
            UnpublishedState::LeftOver if needed_by(inventory, &directory.label).is_some() => {
                let (label, references) = (directory.label.clone(), None);
                in_progress.push(InProgress { label, references, is_lost: true });
            }
            UnpublishedState::LeftOver => left_overs.push(directory.label.clone()),
        }
    }
    (in_progress, left_overs)
}

/// A backup that builds on `label`. Expire removes a backup before those it builds on, so a directory that is needed is
/// never the rest of an interrupted expire.
fn needed_by<'a>(inventory: &'a Inventory, label: &BackupLabel) -> Option<&'a BackupLabel> {
    inventory.backups.iter().find(|backup| backup.needs.contains(label)).map(|by| &by.label)
}

/// The directory without manifest that `--set` names, if no backup is in progress in it; an error if a backup needs it.
fn requested_directory<'a>(
    inventory: &Inventory,
    scope: &'a Scope,
    now: i64,
) -> Result<Option<&'a BackupLabel>, Error> {
    let Scope::Set(label) = scope else { return Ok(None) };
    let Some(found) = inventory.unpublished.iter().find(|found| found.label == *label) else {
        return Ok(None);
    };
    if matches!(found.state(now), UnpublishedState::InProgress(_)) {
        return Ok(None);
    }
    match needed_by(inventory, label) {
        Some(by) => Err(Error::Needed { label: label.clone(), by: by.clone() }),
        None => Ok(Some(label)),
    }
}

fn lost_warning(lost: &InProgress, inventory: &Inventory) -> String {
    let label = &lost.label;
    if let Some(by) = needed_by(inventory, label) {
        return format!(
            "manifest of backup {label} is missing and backup {by} depends on it: neither can be restored until the \
             manifest is restored from a copy of the repository; the other objects of {label} are kept"
        );
    }
    format!(
        "manifest of backup {label} is missing: it was lost, or the backup or its expire was interrupted; restore the \
         manifest from a copy of the repository within {} days, or remove the rest with expire --set={label}",
        LOST_GRACE_SECONDS / 86_400
    )
}

fn choose(
    selection: &Selection<'_>,
    scope: &Scope,
    is_unpublished: bool,
) -> Result<KeptBackups, Error> {
    let expired = match scope {
        Scope::Retention => return Ok(selection.by_settings()),
        Scope::WalBefore(_) => BTreeSet::new(),
        Scope::Set(_) if is_unpublished => BTreeSet::new(),
        Scope::Set(label) => expired_set(selection, label)?,
        Scope::Oldest => expired_set(selection, &oldest(selection)?)?,
    };
    let stays = selection.backups.iter().filter(|backup| !expired.contains(&backup.label));
    Ok(stays.map(|backup| (backup.label.clone(), vec![KeepReason::NotRequested])).collect())
}

/// `label` and all backups that build on it; an error if one of them must not be expired.
fn expired_set(
    selection: &Selection<'_>,
    label: &BackupLabel,
) -> Result<BTreeSet<BackupLabel>, Error> {
    if !selection.backups.iter().any(|backup| backup.label == *label) {
        return Err(Error::Missing(label.clone()));
    }
    let expired = with_dependents(selection.backups, label);
    let in_it = |backup: &&BackupSummary| expired.contains(&backup.label);
    let fulls = |backup: &&BackupSummary| backup.kind() == BackupType::Full;
    if let Some(marked) =
        selection.backups.iter().filter(in_it).find(|b| b.is_marked(selection.now))
    {
        return Err(Error::Marked { label: label.clone(), marked: marked.label.clone() });
    }
    for building in selection.in_progress.iter().filter(|building| !building.is_lost) {
        let one = Selection { in_progress: std::slice::from_ref(building), ..*selection };
        if one.in_use().iter().any(|(used, _)| expired.contains(used)) {
            let building = building.label.clone();
            return Err(Error::InUse { label: label.clone(), building });
        }
    }
    // An incomplete full backup cannot be restored: it neither counts as the last full nor protects one.
    let usable = |backup: &&BackupSummary| !backup.is_incomplete;
    let mut left = selection.backups.iter().filter(fulls).filter(usable).filter(|it| !in_it(it));
    let is_usable = selection.backups.iter().any(|b| b.label == *label && usable(&b));
    if label.kind() == BackupType::Full && is_usable && left.next().is_none() {
        Err(Error::LastFull(label.clone()))
    } else {
        Ok(expired)
    }
}

/// The oldest full backup that is not the newest and that no keep mark holds.
fn oldest(selection: &Selection<'_>) -> Result<BackupLabel, Error> {
    let fulls: Vec<_> = selection.backups.iter().filter(|b| b.kind() == BackupType::Full).collect();
    let Some((_, older)) = fulls.split_last() else { return Err(Error::NoFull) };
    let free = older.iter().find(|full| !selection.held.contains(&full.label));
    free.map(|full| full.label.clone()).ok_or(Error::NoFull)
}

fn warnings(
    backups: &[BackupSummary],
    remaining: &[BackupSummary],
    chosen: &KeptBackups,
    settings: &Settings,
    scope: &Scope,
) -> Vec<String> {
    let mut warnings = Vec::new();
    for (label, why) in chosen {
        if why.contains(&KeepReason::WithoutFull) {
            warnings.push(format!(
                "backup {label} is kept but cannot be restored: its full backup is missing"
            ));
        }
        if why[..] == [KeepReason::LastWithoutPageErrors] {
            warnings.push(format!(
                "backup {label} and the WAL after it are kept because all newer backups have errors"
            ));
        }
    }
    if *scope != Scope::Retention {
        warnings.extend(request_warnings(backups, remaining));
    } else if settings.full.is_none() && !settings.calendar.is_set() {
        warnings.push(
            "repoN-retention-full is not set, the repository may run out of space; to keep all full backups without this \
             warning, set repoN-retention-full=9999999"
                .to_owned(),
        );
    }
    warnings
}

/// Warnings of an expire of one backup, which retention does not check.
fn request_warnings(backups: &[BackupSummary], remaining: &[BackupSummary]) -> Vec<String> {
    let is_gone = |backup: &BackupSummary| !remaining.iter().any(|left| left.label == backup.label);
    let mut warnings = Vec::new();
    if let Some(newest) = backups.last().filter(|newest| is_gone(newest)) {
        warnings.push(format!(
            "expiring latest backup {}: the ability to perform point-in-time-recovery may be affected",
            newest.label
        ));
    }
    if let Some(clean) = newest_clean(backups).filter(|clean| is_gone(clean))
        && newest_clean(remaining).is_none()
    {
        warnings.push(format!("expiring backup {}: no backup without errors is left", clean.label));
    }
    warnings
}
