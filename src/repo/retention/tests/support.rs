//! Backups and archives made up for tests.

use jiff::tz::TimeZone;

use crate::{
    repo::{keep::KeepMark, retention::*},
    types::{ArchiveId, BackupLabel, BackupType, HistoryId, TimeLine, WalSegment, WalSegmentSize},
};

pub(super) const DAY: i64 = 24 * 60 * 60;

pub(super) fn archive_id(history: u32) -> ArchiveId {
    ArchiveId { version: "15".parse().unwrap(), history_id: HistoryId(history) }
}

pub(super) fn segment(timeline: u32, number: u64) -> WalSegment {
    WalSegment::from_number(number, TimeLine(timeline), WalSegmentSize::DEFAULT)
}

/// The stamp of a label from a time.
pub(super) fn stamp(seconds: i64) -> String {
    let zoned = jiff::Timestamp::from_second(seconds).unwrap().to_zoned(TimeZone::UTC);
    zoned.strftime("%Y%m%d-%H%M%S").to_string()
}

/// A series of backups, each with two segments of WAL, ten segments after the one before.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) backups: Vec<BackupSummary>,
    pub(super) timeline: u32,
    pub(super) archive: u32,
    next_segment: u64,
}

impl Series {
    pub(super) fn new() -> Self {
        Self { backups: Vec::new(), timeline: 1, archive: 1, next_segment: 10 }
    }

    /// Adds a backup that ended at `stopped`; returns its place.
    pub(super) fn add(&mut self, kind: BackupType, stopped: i64) -> usize {
        let full = self.backups.iter().rev().find(|b| b.kind() == BackupType::Full);
        let prior = match kind {
            BackupType::Full => None,
            BackupType::Diff => full,
            BackupType::Incr => self.backups.last(),
        };
        let label = match prior {
            None => BackupLabel::full(&stamp(stopped)).unwrap(),
            Some(prior) => BackupLabel::dependent(&prior.label, kind, &stamp(stopped)).unwrap(),
        };
        let mut needs = prior.map(|prior| prior.needs.clone()).unwrap_or_default();
        needs.extend(prior.map(|prior| prior.label.clone()));
        let start = self.next_segment;
        self.next_segment += 10;
        self.backups.push(BackupSummary {
            label,
            needs,
            archive_id: archive_id(self.archive),
            segment_size: WalSegmentSize::DEFAULT,
            wal_start: segment(self.timeline, start),
            wal_stop: segment(self.timeline, start + 1),
            stopped,
            has_errors: false,
            mark: None,
            is_incomplete: false,
        });
        self.backups.len() - 1
    }

    /// Adds a backup a day, from day 1 on: `F`, `D` or `I`; `!` after it for page errors, `*` for a mark.
    pub(super) fn daily(letters: &str) -> Self {
        let mut series = Self::new();
        for (day, text) in (1..).zip(letters.split_whitespace()) {
            let kind = match text.as_bytes()[0] {
                b'F' => BackupType::Full,
                b'D' => BackupType::Diff,
                _ => BackupType::Incr,
            };
            let place = series.add(kind, day * DAY);
            series.backups[place].has_errors = text.contains('!');
            series.backups[place].mark = text.contains('*').then_some(KeepMark { until: None });
        }
        series
    }

    pub(super) fn inventory(&self) -> Inventory {
        Inventory {
            backups: self.backups.clone(),
            unpublished: Vec::new(),
            archives: (1..=self.archive).map(archive_id).collect(),
            current: archive_id(self.archive),
        }
    }

    pub(super) fn label(&self, day: usize) -> BackupLabel {
        self.backups[day - 1].label.clone()
    }

    /// The days of the backups that stay.
    pub(super) fn days(&self, plan: &ExpirePlan) -> Vec<usize> {
        let stays = |label: &BackupLabel| plan.kept.iter().any(|kept| kept.label == *label);
        (1..=self.backups.len()).filter(|day| stays(&self.label(*day))).collect()
    }

    pub(super) fn now(&self) -> i64 {
        self.backups.last().map_or(0, |backup| backup.stopped) + 60
    }

    pub(super) fn plan(&self, settings: &Settings) -> ExpirePlan {
        self.plan_for(settings, &Scope::Retention).unwrap()
    }

    pub(super) fn plan_for(&self, settings: &Settings, scope: &Scope) -> Result<ExpirePlan, Error> {
        plan(&self.inventory(), settings, scope, self.now(), &TimeZone::UTC)
    }
}

pub(super) fn count(full: u32) -> Settings {
    Settings { full: Some(full), ..Settings::default() }
}

/// `-full` by time.
pub(super) fn days(full: u32) -> Settings {
    Settings { full_type: FullType::Time, ..count(full) }
}

pub(super) fn rule(plan: &ExpirePlan, history: u32) -> &wal::ArchiveRule {
    &plan.archives.iter().find(|(id, _)| *id == archive_id(history)).unwrap().1
}

/// Whether the segment stays.
pub(super) fn keeps(plan: &ExpirePlan, history: u32, segment: WalSegment) -> bool {
    match rule(plan, history) {
        wal::ArchiveRule::KeepAll => true,
        wal::ArchiveRule::RemoveAll => false,
        wal::ArchiveRule::Keep(needed) => needed.keeps(segment),
    }
}

/// A directory without manifest.
pub(super) fn unpublished(label: &str, newest: i64) -> Unpublished {
    Unpublished {
        label: label.parse().unwrap(),
        started: None,
        newest: Some(newest),
        is_abandoned: false,
        has_file_list: false,
        lost_since: None,
    }
}
