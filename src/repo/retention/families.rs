//! Which full backups stay with all that build on them: those that `-full` keeps, by count or by time.

use std::collections::BTreeSet;

use super::{BackupFacts, FullType, Settings};
use crate::types::{BackupLabel, BackupType};

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// The backups that a mark holds: the marked ones, and what they need. They do not count for
/// `-full`, `-diff` and `-archive`: a backup that is put aside must not push another one out.
pub fn held(backups: &[BackupFacts], now: i64) -> BTreeSet<BackupLabel> {
    let mut held = BTreeSet::new();
    for backup in backups.iter().filter(|backup| backup.is_marked(now)) {
        held.insert(backup.label.clone());
        held.extend(backup.needs.iter().cloned());
    }
    held
}

/// The fulls whose families stay, oldest first: from the oldest that `-full` keeps to the newest. The
/// newest full is always one of them.
pub fn families<'a>(
    backups: &'a [BackupFacts],
    held: &BTreeSet<BackupLabel>,
    settings: &Settings,
    now: i64,
) -> Vec<&'a BackupFacts> {
    let fulls: Vec<&BackupFacts> =
        backups.iter().filter(|backup| backup.kind() == BackupType::Full).collect();
    let Some(newest) = fulls.last() else { return Vec::new() };
    let counted: Vec<&BackupFacts> =
        fulls.iter().copied().filter(|full| !held.contains(&full.label)).collect();
    let oldest = match (settings.full, settings.full_type) {
        (Some(count), FullType::Count) => by_count(&counted, count),
        (Some(days), FullType::Time) => by_time(&counted, days, now),
        (None, _) if settings.calendar.is_set() => None,
        (None, _) => fulls.first().copied(),
    };
    let oldest = oldest.map_or(&newest.label, |oldest| &oldest.label).min(&newest.label);
    fulls.iter().copied().filter(|full| full.label >= *oldest).collect()
}

/// The oldest of the newest `count`.
fn by_count<'a>(fulls: &[&'a BackupFacts], count: u32) -> Option<&'a BackupFacts> {
    let first = fulls.len().saturating_sub(count.max(1) as usize);
    fulls.get(first).copied()
}

/// The newest that is at least `days` old: with it every moment of those days can be restored. Where
/// all are younger, the oldest.
fn by_time<'a>(fulls: &[&'a BackupFacts], days: u32, now: i64) -> Option<&'a BackupFacts> {
    let limit = now.saturating_sub(i64::from(days).saturating_mul(DAY_SECONDS));
    let old_enough = fulls.iter().rev().find(|full| full.stopped <= limit);
    old_enough.or(fulls.first()).copied()
}

/// The differentials that `-diff` no longer keeps. Fulls count as differentials, so that the number
/// says how many points there are to restore quickly, but only differentials are expired for it.
pub(super) fn expired_diffs(
    family_members: &[&BackupFacts],
    held: &BTreeSet<BackupLabel>,
    diff: Option<u32>,
) -> BTreeSet<BackupLabel> {
    let Some(count) = diff else { return BTreeSet::new() };
    let counted = family_members
        .iter()
        .filter(|backup| backup.kind() != BackupType::Incr && !held.contains(&backup.label));
    let labels: Vec<&BackupLabel> = counted.map(|backup| &backup.label).collect();
    let expired = labels.len().saturating_sub(count as usize);
    let diffs = labels[..expired].iter().filter(|label| label.kind() == BackupType::Diff);
    diffs.copied().cloned().collect()
}
