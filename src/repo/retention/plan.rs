//! The plan of an expire: what goes, in which order, and why the rest stays.

use std::{collections::BTreeSet, fmt};

use jiff::tz::TimeZone;

use super::{
    BackupFacts, Error, InProgress, LOST_GRACE_SECONDS, Scope, Settings, Unpublished,
    UnpublishedState,
    chosen::{Choice, Chosen, newest_clean, with_dependents},
    families::held,
    wal::{ArchiveRule, WalFacts, archive_rules},
};
use crate::types::{ArchiveId, BackupLabel, BackupType};

/// What a stanza has in a repository, from one listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// The backups that exist.
    pub backups: Vec<BackupFacts>,
    /// The directories of backups without manifest.
    pub unpublished: Vec<Unpublished>,
    /// The directories of the archive.
    pub archives: Vec<ArchiveId>,
    /// The archive of the cluster that the stanza is now.
    pub current: ArchiveId,
}

/// What is to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpirePlan {
    /// Backups, newest first: what depends goes before what it depends on.
    pub backups: Vec<BackupLabel>,
    /// Interrupted backups and interrupted removals.
    pub left_overs: Vec<BackupLabel>,
    /// What stays of each archive.
    pub archives: Vec<(ArchiveId, ArchiveRule)>,
    /// The backups that stay, oldest first.
    pub kept: Vec<Kept>,
    /// Backups in progress, which are left alone.
    pub in_progress: Vec<InProgress>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// A backup that stays, and the reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The backup.
    pub label: BackupLabel,
    /// At least one reason.
    pub why: Vec<Why>,
}

/// Why a backup stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// `-full` and `-diff` keep it.
    Retention,
    /// The last full of a day.
    Daily,
    /// The last full of a week.
    Weekly,
    /// The last full of a month.
    Monthly,
    /// The last full of a year.
    Yearly,
    /// It is marked.
    Marked,
    /// A backup in progress builds on it.
    InUse(BackupLabel),
    /// All newer ones have page errors.
    LastWithoutPageErrors,
    /// A backup that stays needs it.
    NeededBy(BackupLabel),
    /// Its full is missing, so no rule decides about it.
    WithoutFull,
    /// It is not what was asked to be expired.
    NotAsked,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retention => f.write_str("retention"),
            Self::Daily => f.write_str("last full of a day"),
            Self::Weekly => f.write_str("last full of a week"),
            Self::Monthly => f.write_str("last full of a month"),
            Self::Yearly => f.write_str("last full of a year"),
            Self::Marked => f.write_str("marked to be kept"),
            Self::InUse(label) => write!(f, "backup {label} in progress builds on it"),
            Self::LastWithoutPageErrors => f.write_str("last backup without errors"),
            Self::NeededBy(label) => write!(f, "needed by {label}"),
            Self::WithoutFull => f.write_str("its full backup is missing"),
            Self::NotAsked => f.write_str("not asked for"),
        }
    }
}

/// Makes the plan. `now` is in seconds since 1970; `zone` says when a day begins.
pub fn plan(
    inventory: &Inventory,
    settings: &Settings,
    scope: &Scope,
    now: i64,
    zone: &TimeZone,
) -> Result<ExpirePlan, Error> {
    let mut backups = inventory.backups.clone();
    backups.sort_by(|a, b| a.label.cmp(&b.label));
    let told = told(inventory, scope, now)?;
    let (in_progress, left_overs) = divide(inventory, told, now);
    let held = held(&backups, now);
    let choice =
        Choice { backups: &backups, held: &held, in_progress: &in_progress, settings, now, zone };
    let chosen = choose(&choice, scope, told.is_some())?;
    let (remaining, expired): (Vec<_>, Vec<_>) =
        backups.iter().cloned().partition(|backup| chosen.contains_key(&backup.label));
    let archives = archive_rules(&WalFacts {
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
            _ => told.into_iter().cloned().collect(),
        },
        archives,
        kept: chosen.into_iter().map(|(label, why)| Kept { label, why }).collect(),
        in_progress,
        warnings,
    })
}

/// The directories without a manifest: backups in progress, lost backups and interrupted backups. A lost backup is kept
/// as long as another backup references it.
fn divide(
    inventory: &Inventory,
    told: Option<&BackupLabel>,
    now: i64,
) -> (Vec<InProgress>, Vec<BackupLabel>) {
    let (mut in_progress, mut left_overs) = (Vec::new(), Vec::new());
    for directory in inventory.unpublished.iter().filter(|found| Some(&found.label) != told) {
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

/// A backup that refers to this one. Backups are removed before those that they refer to, so what is needed is never what
/// an expire that was interrupted left.
fn needed_by<'a>(inventory: &'a Inventory, label: &BackupLabel) -> Option<&'a BackupLabel> {
    inventory.backups.iter().find(|backup| backup.needs.contains(label)).map(|by| &by.label)
}

/// The directory without manifest that was asked to be removed, where nothing is in progress in it and nothing needs it.
fn told<'a>(
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
            "backup {label} has no manifest, and backup {by} needs it: neither can be restored until the manifest is \
             brought back from a copy of the repository; what is left of it stays"
        );
    }
    format!(
        "backup {label} has a file list and no manifest: that was lost, or publishing or removing the backup \
         was cut short; bring it back from a copy within {} days, or remove the rest with expire --set={label}",
        LOST_GRACE_SECONDS / 86_400
    )
}

fn choose(choice: &Choice<'_>, scope: &Scope, is_told: bool) -> Result<Chosen, Error> {
    let expired = match scope {
        Scope::Retention => return Ok(choice.by_settings()),
        Scope::WalBefore(_) => BTreeSet::new(),
        Scope::Set(_) if is_told => BTreeSet::new(),
        Scope::Set(label) => expired_set(choice, label)?,
        Scope::Oldest => expired_set(choice, &oldest(choice)?)?,
    };
    let stays = choice.backups.iter().filter(|backup| !expired.contains(&backup.label));
    Ok(stays.map(|backup| (backup.label.clone(), vec![Why::NotAsked])).collect())
}

/// What goes with `label`, where that may be expired at all.
fn expired_set(choice: &Choice<'_>, label: &BackupLabel) -> Result<BTreeSet<BackupLabel>, Error> {
    if !choice.backups.iter().any(|backup| backup.label == *label) {
        return Err(Error::Missing(label.clone()));
    }
    let expired = with_dependents(choice.backups, label);
    let in_it = |backup: &&BackupFacts| expired.contains(&backup.label);
    let fulls = |backup: &&BackupFacts| backup.kind() == BackupType::Full;
    if let Some(marked) = choice.backups.iter().filter(in_it).find(|b| b.is_marked(choice.now)) {
        return Err(Error::Marked { label: label.clone(), marked: marked.label.clone() });
    }
    for building in choice.in_progress.iter().filter(|building| !building.is_lost) {
        let one = Choice { in_progress: std::slice::from_ref(building), ..*choice };
        if one.in_use().iter().any(|(used, _)| expired.contains(used)) {
            let building = building.label.clone();
            return Err(Error::InUse { label: label.clone(), building });
        }
    }
    // One that cannot be restored is nothing to fall back on, and nothing is lost with it.
    let usable = |backup: &&BackupFacts| !backup.is_incomplete;
    let mut left = choice.backups.iter().filter(fulls).filter(usable).filter(|it| !in_it(it));
    let is_usable = choice.backups.iter().any(|b| b.label == *label && usable(&b));
    match label.kind() == BackupType::Full && is_usable && left.next().is_none() {
        true => Err(Error::LastFull(label.clone())),
        false => Ok(expired),
    }
}

/// The oldest full that no mark holds and that is not the newest.
fn oldest(choice: &Choice<'_>) -> Result<BackupLabel, Error> {
    let fulls: Vec<_> = choice.backups.iter().filter(|b| b.kind() == BackupType::Full).collect();
    let Some((_, older)) = fulls.split_last() else { return Err(Error::NoFull) };
    let free = older.iter().find(|full| !choice.held.contains(&full.label));
    free.map(|full| full.label.clone()).ok_or(Error::NoFull)
}

fn warnings(
    backups: &[BackupFacts],
    remaining: &[BackupFacts],
    chosen: &Chosen,
    settings: &Settings,
    scope: &Scope,
) -> Vec<String> {
    let mut warnings = Vec::new();
    for (label, why) in chosen {
        if why.contains(&Why::WithoutFull) {
            warnings.push(format!(
                "backup {label} is kept, but its full backup is missing: it cannot be restored"
            ));
        }
        if why[..] == [Why::LastWithoutPageErrors] {
            warnings.push(format!(
                "backup {label} is kept, with the WAL from it on: all newer ones have errors"
            ));
        }
    }
    if *scope != Scope::Retention {
        warnings.extend(asked_warnings(backups, remaining));
    } else if settings.full.is_none() && !settings.calendar.is_set() {
        warnings.push(
            "no retention option says which full backups may go, so the repository may run out of \
             space; retention-full=9999999 keeps all without this warning"
                .to_owned(),
        );
    }
    warnings
}

/// What is lost by an expire that was asked for whatever retention says.
fn asked_warnings(backups: &[BackupFacts], remaining: &[BackupFacts]) -> Vec<String> {
    let is_gone = |backup: &BackupFacts| !remaining.iter().any(|left| left.label == backup.label);
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
        warnings.push(format!("expiring {}: no backup without errors is left", clean.label));
    }
    warnings
}
