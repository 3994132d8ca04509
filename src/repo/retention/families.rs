//! The full backups that `repoN-retention-full` keeps, by count or by time, and the differentials that
//! `repoN-retention-diff` expires. A family is a full backup and all that build on it.

use std::collections::BTreeSet;

use super::{BackupSummary, FullType, Settings};
use crate::types::{BackupLabel, BackupType};

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// The backups with a keep mark and those they need. They do not count for `-full`, `-diff` and `-archive`: keeping one
/// backup must not expire another.
pub fn held_backups(backups: &[BackupSummary], now: i64) -> BTreeSet<BackupLabel> {
    let mut held = BTreeSet::new();
    for backup in backups.iter().filter(|backup| backup.is_marked(now)) {
        held.insert(backup.label.clone());
        held.extend(backup.needs.iter().cloned());
    }
    held
}

/// The fulls whose families are kept, oldest first: from the oldest that `-full` keeps to the newest, which is always
/// kept.
pub fn families<'a>(
    backups: &'a [BackupSummary],
    held: &BTreeSet<BackupLabel>,
    settings: &Settings,
    now: i64,
) -> Vec<&'a BackupSummary> {
    let fulls: Vec<&BackupSummary> =
        backups.iter().filter(|backup| backup.kind() == BackupType::Full).collect();
    let Some(newest) = fulls.last() else { return Vec::new() };
    let counted: Vec<&BackupSummary> =
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
fn by_count<'a>(fulls: &[&'a BackupSummary], count: u32) -> Option<&'a BackupSummary> {
    let first = fulls.len().saturating_sub(count.max(1) as usize);
    fulls.get(first).copied()
}

/// The newest full that is at least `days` old: from it every moment of those days can be recovered. The oldest if all
/// are younger.
fn by_time<'a>(fulls: &[&'a BackupSummary], days: u32, now: i64) -> Option<&'a BackupSummary> {
    let limit = now.saturating_sub(i64::from(days).saturating_mul(DAY_SECONDS));
    let old_enough = fulls.iter().rev().find(|full| full.stopped <= limit);
    old_enough.or(fulls.first()).copied()
}

/// The differentials that `-diff` expires. Fulls count as differentials, as with pgBackRest, but are not expired by it.
pub(super) fn expired_diffs(
    family_members: &[&BackupSummary],
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
