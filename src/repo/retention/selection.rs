//! Selects the backups to keep, with the reasons.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use jiff::tz::TimeZone;

use super::{
    BackupSummary, InProgress, KeepReason, Settings, calendar,
    families::{expired_diffs, families},
    inventory::full_of,
};
use crate::types::{BackupLabel, BackupType};

pub(super) type KeptBackups = BTreeMap<BackupLabel, Vec<KeepReason>>;

/// The input of the selection.
pub(super) struct Selection<'a> {
    /// Oldest first.
    pub(super) backups: &'a [BackupSummary],
    /// See [`families::held_backups`](super::families::held_backups).
    pub(super) held: &'a BTreeSet<BackupLabel>,
    pub(super) in_progress: &'a [InProgress],
    pub(super) settings: &'a Settings,
    pub(super) now: i64,
    pub(super) zone: &'a TimeZone,
}

impl Selection<'_> {
    /// The backups that the settings keep.
    pub(super) fn by_settings(&self) -> KeptBackups {
        let mut chosen = KeptBackups::new();
        let mut keep =
            |label: &BackupLabel, why| chosen.entry(label.clone()).or_default().push(why);
        for (label, why) in self.by_rules() {
            keep(&label, why);
        }
        for backup in self.backups.iter().filter(|backup| backup.is_marked(self.now)) {
            keep(&backup.label, KeepReason::Marked);
        }
        for (label, why) in self.in_use() {
            keep(&label, why);
        }
        let clean = [newest_clean(self.backups), newest_clean_full(self.backups)];
        for backup in clean.into_iter().flatten() {
            let entry = chosen.entry(backup.label.clone());
            entry.or_insert_with(|| vec![KeepReason::LastWithoutPageErrors]);
        }
        close(&mut chosen, self.backups);
        chosen
    }

    /// The backups that the rules for fulls and differentials keep.
    fn by_rules(&self) -> Vec<(BackupLabel, KeepReason)> {
        let families = families(self.backups, self.held, self.settings, self.now);
        let family_labels: BTreeSet<&str> = families.iter().map(|f| f.label.as_str()).collect();
        let members: Vec<&BackupSummary> = self
            .backups
            .iter()
            .filter(|backup| family_labels.contains(backup.label.full_label()))
            .collect();
        let expired = expired_diffs(&members, self.held, self.settings.diff);
        let stays = |backup: &&&BackupSummary| {
            !expired.contains(&backup.label) && backup.needs.is_disjoint(&expired)
        };
        let mut kept: Vec<_> = members
            .iter()
            .filter(stays)
            .map(|backup| (backup.label.clone(), KeepReason::Retention))
            .collect();
        kept.extend(self.orphans().map(|backup| (backup.label.clone(), KeepReason::WithoutFull)));
        let fulls: Vec<&BackupSummary> =
            self.backups.iter().filter(|backup| backup.kind() == BackupType::Full).collect();
        kept.extend(calendar::kept(&fulls, self.settings.calendar, self.now, self.zone));
        kept
    }

    /// Backups whose full backup is missing: no rule applies to them, so they are kept.
    fn orphans(&self) -> impl Iterator<Item = &BackupSummary> {
        let labels: BTreeSet<&BackupLabel> = self.backups.iter().map(|b| &b.label).collect();
        self.backups.iter().filter(move |backup| {
            full_of(&backup.label).is_some_and(|full| !labels.contains(&full))
        })
    }

    /// The backups that those in progress build on.
    pub(super) fn in_use(&self) -> Vec<(BackupLabel, KeepReason)> {
        let mut used = Vec::new();
        for building in self.in_progress {
            let uses = |backup: &&BackupSummary| match &building.references {
                Some(references) => references.contains(&backup.label),
                // Without a notice only the label is known: it may build on any backup of its full's family.
                None => {
                    building.label.kind() != BackupType::Full
                        && backup.label.full_label() == building.label.full_label()
                }
            };
            let why = KeepReason::InUse(building.label.clone());
            used.extend(self.backups.iter().filter(uses).map(|b| (b.label.clone(), why.clone())));
        }
        used
    }
}

/// Adds every backup that a kept one needs.
pub(super) fn close(chosen: &mut KeptBackups, backups: &[BackupSummary]) {
    let by_label: BTreeMap<&BackupLabel, &BackupSummary> =
        backups.iter().map(|backup| (&backup.label, backup)).collect();
    let mut todo: Vec<BackupLabel> = chosen.keys().cloned().collect();
    while let Some(label) = todo.pop() {
        let Some(backup) = by_label.get(&label) else { continue };
        for needed in backup.needs.iter().filter(|needed| by_label.contains_key(needed)) {
            if let Entry::Vacant(entry) = chosen.entry(needed.clone()) {
                entry.insert(vec![KeepReason::NeededBy(label.clone())]);
                todo.push(needed.clone());
            }
        }
    }
}

/// The backup and all that need it, directly or not.
pub(super) fn with_dependents(
    backups: &[BackupSummary],
    label: &BackupLabel,
) -> BTreeSet<BackupLabel> {
    let mut found = BTreeSet::from([label.clone()]);
    loop {
        let before = found.len();
        for backup in backups {
            if !backup.needs.is_disjoint(&found) {
                found.insert(backup.label.clone());
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// The newest backup without page errors in it or in what it needs.
pub(super) fn newest_clean(backups: &[BackupSummary]) -> Option<&BackupSummary> {
    let damaged: BTreeSet<&BackupLabel> =
        backups.iter().filter(|b| b.has_errors).map(|b| &b.label).collect();
    let is_clean = |backup: &&BackupSummary| {
        !backup.has_errors && !backup.needs.iter().any(|needed| damaged.contains(needed))
    };
    backups.iter().rev().find(is_clean)
}

fn newest_clean_full(backups: &[BackupSummary]) -> Option<&BackupSummary> {
    let is_full = |b: &&BackupSummary| b.kind() == BackupType::Full && !b.has_errors;
    backups.iter().rev().find(is_full)
}
