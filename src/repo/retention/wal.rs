//! Which WAL is kept. A backup that must be recoverable beyond its end needs every segment from its first one on, on its
//! own timeline and on those that descend from it. Any other backup that is kept needs the segments from its start to its
//! stop.
//!
//! Recovery reads positions in ascending order, and a timeline's number is greater than its parent's
//! (`findNewestTimeLine`, timeline.c). So a backup that starts at timeline T, position P can need segment (t, p) only if
//! T <= t and P <= p. Timelines that do not descend from T are kept too: that errs on the safe side and needs no timeline
//! history file.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;

use super::{
    BackupSummary, Calendar, FullType, InProgress, Inventory, Scope, Settings, calendar,
    families::families, selection::newest_clean,
};
use crate::{
    repo::archive::StoredWal,
    types::{ArchiveId, BackupLabel, BackupType, TimeLine, WalSegment},
};

/// The action of expire on one archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchiveRule {
    KeepAll,
    /// The archive of an earlier cluster of the stanza, of which no backup is left.
    RemoveAll,
    /// Segments that are not needed are removed.
    Keep(NeededWal),
}

/// The segments that are kept. Timeline history files always are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NeededWal {
    /// All segments from each of these on, on its timeline and all greater ones.
    forward: Vec<WalSegment>,
    /// From start to stop, inclusive.
    spans: Vec<(WalSegment, WalSegment)>,
    /// Segments from this one on are kept.
    before: Option<WalSegment>,
}

/// The segment on timeline 0, which compares by WAL position alone. Only meaningful within one segment size.
fn position(segment: WalSegment) -> WalSegment {
    segment.on(TimeLine(0))
}

impl NeededWal {
    fn new(
        forward: &[&BackupSummary],
        spans: &[&BackupSummary],
        before: Option<WalSegment>,
    ) -> Self {
        let mut starts: Vec<WalSegment> = forward.iter().map(|backup| backup.wal_start).collect();
        starts.sort_by_key(|start| (position(*start), start.timeline));
        let mut needed = Self { before, ..Self::default() };
        for start in starts {
            if !needed.is_forward(start) {
                needed.forward.push(start);
            }
        }
        for backup in spans {
            if !needed.is_forward(backup.wal_start) {
                needed.spans.push((backup.wal_start, backup.wal_stop));
            }
        }
        needed
    }

    fn is_forward(&self, segment: WalSegment) -> bool {
        let reaches = |start: &WalSegment| {
            start.timeline <= segment.timeline && position(*start) <= position(segment)
        };
        self.forward.iter().any(reaches)
            || self.before.is_some_and(|before| position(before) <= position(segment))
    }

    pub fn keeps(&self, segment: WalSegment) -> bool {
        self.is_forward(segment) || self.spans.iter().any(|span| is_within(*span, segment))
    }

    /// Whether every segment in an archive directory is kept, so that it need not be listed. `name` is the first 16 digits
    /// of the segments; any other directory is kept.
    pub fn keeps_directory(&self, name: &str) -> bool {
        match format!("{name}00000000").parse() {
            Ok(first) => self.is_forward(first),
            Err(_) => true,
        }
    }

    /// The objects of one directory that are removed.
    pub fn removable<'a>(&self, stored: &'a [StoredWal]) -> Vec<&'a StoredWal> {
        let positions = || stored.iter().filter_map(|object| object.file.segment()).map(position);
        let (Some(low), Some(high)) = (positions().min(), positions().max()) else {
            return Vec::new();
        };
        let meets =
            |span: &&(WalSegment, WalSegment)| position(span.0) <= high && position(span.1) >= low;
        let spans: Vec<_> = self.spans.iter().filter(meets).copied().collect();
        let here = Self { forward: self.forward.clone(), spans, before: self.before };
        let goes = |object: &&StoredWal| object.file.segment().is_some_and(|s| !here.keeps(s));
        stored.iter().filter(goes).collect()
    }
}

fn is_within((start, stop): (WalSegment, WalSegment), segment: WalSegment) -> bool {
    (start.timeline..=stop.timeline).contains(&segment.timeline)
        && (position(start)..=position(stop)).contains(&position(segment))
}

/// The input of the rules.
pub(super) struct WalRetention<'a> {
    /// Every backup, oldest first, also those that this expire removes.
    pub(super) all: &'a [BackupSummary],
    /// Those that are kept.
    pub(super) remaining: &'a [BackupSummary],
    pub(super) held: &'a BTreeSet<BackupLabel>,
    pub(super) in_progress: &'a [InProgress],
    pub(super) inventory: &'a Inventory,
    pub(super) settings: &'a Settings,
    pub(super) scope: &'a Scope,
    pub(super) now: i64,
    pub(super) zone: &'a TimeZone,
}

/// The rule for each archive.
pub(super) fn archive_rules(facts: &WalRetention<'_>) -> Vec<(ArchiveId, ArchiveRule)> {
    // An incomplete backup may be repaired from a copy of the repository: until then no WAL is removed.
    if facts.remaining.iter().any(|backup| backup.is_incomplete) {
        return facts.inventory.archives.iter().map(|id| (*id, ArchiveRule::KeepAll)).collect();
    }
    let forward = facts.rolled_forward();
    let rule = |id: &ArchiveId| (*id, facts.rule(*id, forward.as_deref()));
    facts.inventory.archives.iter().map(rule).collect()
}

impl WalRetention<'_> {
    /// The backups that must be recoverable to any later point; `None`: no WAL is removed.
    fn rolled_forward(&self) -> Option<Vec<&BackupSummary>> {
        let Settings { full, full_type, diff, archive, archive_type, calendar } = *self.settings;
        let chosen = match (archive, archive_type, full, full_type) {
            (Some(count), kind, _, _) => self.newest(count, kind),
            (None, BackupType::Full, Some(count), FullType::Count) => {
                self.newest(count, BackupType::Full)
            }
            (None, BackupType::Full, Some(_), FullType::Time) => {
                Some(families(self.remaining, self.held, self.settings, self.now))
            }
            (None, BackupType::Full, None, _) if calendar.is_set() => Some(self.of_finest_rule()),
            (None, BackupType::Diff, _, _) => {
                diff.and_then(|count| self.newest(count, BackupType::Diff))
            }
            _ => None,
        };
        match (chosen, self.scope) {
            (None, Scope::WalBefore(_)) => Some(self.remaining.iter().collect()),
            (chosen, _) => chosen,
        }
    }

    /// The newest `count` backups of at least that type. With fewer backups no WAL is removed, so a number too great errs
    /// on the safe side; only an expire of the oldest backup (`--oldest`) removes its WAL all the same.
    fn newest(&self, count: u32, kind: BackupType) -> Option<Vec<&BackupSummary>> {
        let counts = |b: &&BackupSummary| b.kind() <= kind && !self.held.contains(&b.label);
        let pool: Vec<&BackupSummary> = self.remaining.iter().filter(counts).collect();
        let first = match pool.len().checked_sub(count as usize) {
            None if *self.scope != Scope::Oldest => return None,
            first => first.unwrap_or(0),
        };
        Some(pool[first..].to_vec())
    }

    /// With calendar rules alone: the fulls that the finest of them keeps, and the newest.
    fn of_finest_rule(&self) -> Vec<&BackupSummary> {
        let Calendar { daily, weekly, monthly, yearly } = self.settings.calendar;
        let finest = match (daily, weekly, monthly) {
            (Some(_), _, _) => Calendar { daily, ..Calendar::default() },
            (None, Some(_), _) => Calendar { weekly, ..Calendar::default() },
            (None, None, Some(_)) => Calendar { monthly, ..Calendar::default() },
            (None, None, None) => Calendar { yearly, ..Calendar::default() },
        };
        let fulls: Vec<&BackupSummary> =
            self.remaining.iter().filter(|b| b.kind() == BackupType::Full).collect();
        let kept = calendar::kept(&fulls, finest, self.now, self.zone);
        let is_kept = |full: &&BackupSummary| kept.iter().any(|(label, _)| *label == full.label);
        let newest = fulls.last().copied();
        fulls.iter().copied().filter(is_kept).chain(newest).collect()
    }

    fn rule(&self, id: ArchiveId, forward: Option<&[&BackupSummary]>) -> ArchiveRule {
        let Some(forward) = forward else { return ArchiveRule::KeepAll };
        let of_it = |backup: &&BackupSummary| backup.archive_id == id;
        let local: Vec<&BackupSummary> = self.remaining.iter().filter(of_it).collect();
        let mut sizes = self.all.iter().filter(of_it).map(|backup| backup.segment_size);
        let size = sizes.next();
        if sizes.any(|other| Some(other) != size) {
            // Segment numbers of different segment sizes cannot be compared.
            return ArchiveRule::KeepAll;
        }
        let before = match self.scope {
            Scope::WalBefore(segment) => Some(*segment),
            _ => None,
        };
        if local.is_empty() {
            return self.rule_without_backups(id, before);
        }
        let mut rolled: Vec<&BackupSummary> = forward.iter().copied().filter(of_it).collect();
        if rolled.is_empty() {
            rolled.extend(self.newest_of(&local, id));
        }
        rolled.extend(newest_clean(self.remaining).filter(of_it));
        match self.before_those_in_progress(id) {
            Some(earlier) => rolled.extend(earlier),
            None => return ArchiveRule::KeepAll,
        }
        ArchiveRule::Keep(NeededWal::new(&rolled, &local, before))
    }

    fn rule_without_backups(&self, id: ArchiveId, before: Option<WalSegment>) -> ArchiveRule {
        let current = self.inventory.current;
        match before {
            // An archive that only feeds standbys.
            Some(_) if id == current && self.in_progress.is_empty() => {
                ArchiveRule::Keep(NeededWal { before, ..NeededWal::default() })
            }
            None if id.history_id < current.history_id && self.in_progress.is_empty() => {
                ArchiveRule::RemoveAll
            }
            _ => ArchiveRule::KeepAll,
        }
    }

    /// The backup whose WAL is kept although the settings name none of this cluster: the newest. One that only a keep mark
    /// holds does not count, unless it is the last of the current cluster.
    fn newest_of<'a>(
        &self,
        local: &[&'a BackupSummary],
        id: ArchiveId,
    ) -> Option<&'a BackupSummary> {
        let counted = local.iter().rev().find(|backup| !self.held.contains(&backup.label));
        let any = local.last().filter(|_| id == self.inventory.current);
        counted.or(any).copied()
    }

    /// For each backup in progress, the newest backup that was begun before it: the WAL that it needs starts after that
    /// one's. `None` if there is none, so that no lower bound is known.
    fn before_those_in_progress(&self, id: ArchiveId) -> Option<Vec<&BackupSummary>> {
        let earlier = |building: &InProgress| {
            let is_earlier = |b: &&BackupSummary| b.archive_id == id && b.label < building.label;
            self.all.iter().rev().find(is_earlier)
        };
        let found: Vec<_> = self.in_progress.iter().map(earlier).collect();
        let is_current = id == self.inventory.current;
        if is_current && found.iter().any(Option::is_none) {
            None
        } else {
            Some(found.into_iter().flatten().collect())
        }
    }
}
