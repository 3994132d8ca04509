//! Which backups stay, and why.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use jiff::tz::TimeZone;

use super::{
    BackupFacts, InProgress, Settings, Why, calendar,
    facts::full_of,
    families::{expired_diffs, families},
};
use crate::types::{BackupLabel, BackupType};

/// The backups that stay, each with the reasons.
pub(super) type Chosen = BTreeMap<BackupLabel, Vec<Why>>;

/// What the choice is made from.
pub(super) struct Choice<'a> {
    /// The backups, oldest first.
    pub(super) backups: &'a [BackupFacts],
    /// Those that a mark holds.
    pub(super) held: &'a BTreeSet<BackupLabel>,
    pub(super) in_progress: &'a [InProgress],
    pub(super) settings: &'a Settings,
    pub(super) now: i64,
    pub(super) zone: &'a TimeZone,
}

impl Choice<'_> {
    /// What the settings keep.
    pub(super) fn by_settings(&self) -> Chosen {
        let mut chosen = Chosen::new();
        let mut keep =
            |label: &BackupLabel, why| chosen.entry(label.clone()).or_default().push(why);
        for (label, why) in self.by_rules() {
            keep(&label, why);
        }
        for backup in self.backups.iter().filter(|backup| backup.is_marked(self.now)) {
            keep(&backup.label, Why::Marked);
        }
        for (label, why) in self.in_use() {
            keep(&label, why);
        }
        let clean = [newest_clean(self.backups), newest_clean_full(self.backups)];
        for backup in clean.into_iter().flatten() {
            let entry = chosen.entry(backup.label.clone());
            entry.or_insert_with(|| vec![Why::LastWithoutPageErrors]);
        }
        close(&mut chosen, self.backups);
        chosen
    }

    /// What the rules for fulls and differentials keep by themselves.
    fn by_rules(&self) -> Vec<(BackupLabel, Why)> {
        let families = families(self.backups, self.held, self.settings, self.now);
        let family_labels: BTreeSet<&str> = families.iter().map(|f| f.label.as_str()).collect();
        let members: Vec<&BackupFacts> = self
            .backups
            .iter()
            .filter(|backup| family_labels.contains(backup.label.full_label()))
            .collect();
        let expired = expired_diffs(&members, self.held, self.settings.diff);
        let stays = |backup: &&&BackupFacts| {
            !expired.contains(&backup.label) && backup.needs.is_disjoint(&expired)
        };
        let mut kept: Vec<_> = members
            .iter()
            .filter(stays)
            .map(|backup| (backup.label.clone(), Why::Retention))
            .collect();
        kept.extend(self.orphans().map(|backup| (backup.label.clone(), Why::WithoutFull)));
        let fulls: Vec<&BackupFacts> =
            self.backups.iter().filter(|backup| backup.kind() == BackupType::Full).collect();
        kept.extend(calendar::kept(&fulls, self.settings.calendar, self.now, self.zone));
        kept
    }

    /// Backups whose full is gone: no rule decides about them.
    fn orphans(&self) -> impl Iterator<Item = &BackupFacts> {
        let labels: BTreeSet<&BackupLabel> = self.backups.iter().map(|b| &b.label).collect();
        self.backups.iter().filter(move |backup| {
            full_of(&backup.label).is_some_and(|full| !labels.contains(&full))
        })
    }

    /// What the backups in progress build on.
    pub(super) fn in_use(&self) -> Vec<(BackupLabel, Why)> {
        let mut used = Vec::new();
        for building in self.in_progress {
            let uses = |backup: &&BackupFacts| match &building.references {
                Some(references) => references.contains(&backup.label),
                // Without a notice its label alone tells: it may build on any of its full's family.
                None => {
                    building.label.kind() != BackupType::Full
                        && backup.label.full_label() == building.label.full_label()
                }
            };
            let why = Why::InUse(building.label.clone());
            used.extend(self.backups.iter().filter(uses).map(|b| (b.label.clone(), why.clone())));
        }
        used
    }
}

/// Adds everything that what stays needs.
pub(super) fn close(chosen: &mut Chosen, backups: &[BackupFacts]) {
    let by_label: BTreeMap<&BackupLabel, &BackupFacts> =
        backups.iter().map(|backup| (&backup.label, backup)).collect();
    let mut todo: Vec<BackupLabel> = chosen.keys().cloned().collect();
    while let Some(label) = todo.pop() {
        let Some(backup) = by_label.get(&label) else { continue };
        for needed in backup.needs.iter().filter(|needed| by_label.contains_key(needed)) {
            if let Entry::Vacant(entry) = chosen.entry(needed.clone()) {
                entry.insert(vec![Why::NeededBy(label.clone())]);
                todo.push(needed.clone());
            }
        }
    }
}

/// The backup and all that need it.
pub(super) fn with_dependents(
    backups: &[BackupFacts],
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
pub(super) fn newest_clean(backups: &[BackupFacts]) -> Option<&BackupFacts> {
    let damaged: BTreeSet<&BackupLabel> =
        backups.iter().filter(|b| b.has_errors).map(|b| &b.label).collect();
    let is_clean = |backup: &&BackupFacts| {
        !backup.has_errors && !backup.needs.iter().any(|needed| damaged.contains(needed))
    };
    backups.iter().rev().find(is_clean)
}

fn newest_clean_full(backups: &[BackupFacts]) -> Option<&BackupFacts> {
    let is_full = |b: &&BackupFacts| b.kind() == BackupType::Full && !b.has_errors;
    backups.iter().rev().find(is_full)
}
