//! The backups and WAL of a stanza in the repository: the input of a plan.

use std::collections::BTreeSet;

use crate::{
    repo::{keep::KeepMark, manifest::Manifest, started::Started},
    types::{ArchiveId, BackupLabel, BackupType, WalSegment, WalSegmentSize},
};

/// A backup without manifest counts as in progress for this long after its last sign of life.
pub const GRACE_SECONDS: i64 = 24 * 60 * 60;

/// The objects of a backup are kept for this long after its manifest was found missing, so that the administrator can
/// restore the manifest from a copy of the repository.
pub const LOST_GRACE_SECONDS: i64 = 7 * 24 * 60 * 60;

/// Summary of an existing backup for retention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupSummary {
    pub label: BackupLabel,
    /// All backups that a restore of this one reads, and its full and prior backup.
    pub needs: BTreeSet<BackupLabel>,
    pub archive_id: ArchiveId,
    pub segment_size: WalSegmentSize,
    /// First and last segment that recovery needs to reach consistency.
    pub wal_start: WalSegment,
    pub wal_stop: WalSegment,
    /// Seconds since 1970.
    pub stopped: i64,
    /// It has page errors, or entries of the data directory are not in it.
    pub has_errors: bool,
    /// The keep mark, even one that has run out.
    pub mark: Option<KeepMark>,
    /// Objects of it are missing: it cannot be restored, but its manifest can still be read.
    pub is_incomplete: bool,
}

impl BackupSummary {
    pub fn new(manifest: &Manifest, mark: Option<KeepMark>) -> Self {
        let mut needs: BTreeSet<_> = manifest.references.iter().cloned().collect();
        needs.extend(manifest.prior.clone());
        needs.extend(full_of(&manifest.label));
        Self {
            label: manifest.label.clone(),
            needs,
            archive_id: manifest.archive_id(),
            segment_size: manifest.cluster.wal_segment_size,
            wal_start: manifest.wal_start(),
            wal_stop: manifest.wal_stop(),
            stopped: manifest.timestamp().stop,
            has_errors: manifest.has_errors(),
            mark,
            is_incomplete: false,
        }
    }

    pub fn incomplete(self) -> Self {
        Self { is_incomplete: true, ..self }
    }

    pub fn kind(&self) -> BackupType {
        self.label.kind()
    }

    /// Whether the keep mark is in force at `now`, seconds since 1970.
    pub fn is_marked(&self, now: i64) -> bool {
        self.mark.is_some_and(|mark| mark.holds(now))
    }
}

/// The full backup that the label of a differential or incremental backup names.
pub(super) fn full_of(label: &BackupLabel) -> Option<BackupLabel> {
    match label.kind() {
        BackupType::Full => None,
        BackupType::Diff | BackupType::Incr => label.full_label().parse().ok(),
    }
}

/// From one listing of the stanza in one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// Those with a manifest, in any order.
    pub backups: Vec<BackupSummary>,
    /// Backup directories without a manifest.
    pub unpublished: Vec<Unpublished>,
    pub archives: Vec<ArchiveId>,
    /// The archive id of the stanza's current cluster.
    pub current: ArchiveId,
}

/// A backup directory without a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpublished {
    pub label: BackupLabel,
    /// Its notice; `None` if it has none.
    pub started: Option<Started>,
    /// When its newest object was created, or the directory if it is empty; seconds since 1970.
    pub newest: Option<i64>,
    /// The process that began it is proven to have ended.
    pub is_abandoned: bool,
    /// It has a file list, which is the last object before the manifest: it may be a complete backup whose manifest was
    /// lost.
    pub has_file_list: bool,
    /// When an expire first found the manifest missing, seconds since 1970.
    pub lost_since: Option<i64>,
}

/// A backup that runs, or that must be treated as if it did: nothing that it builds on may be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InProgress {
    pub label: BackupLabel,
    /// The backups it builds on; `None` if it has no notice.
    pub references: Option<Vec<BackupLabel>>,
    /// It does not run any more: its manifest was lost, or its publication was interrupted.
    pub is_lost: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnpublishedState {
    /// It runs, or cannot be proven not to.
    InProgress(InProgress),
    /// Its manifest is missing and may still be restored from a copy.
    Lost(InProgress),
    /// The rest of an interrupted backup or expire.
    LeftOver,
}

impl Unpublished {
    /// Decides by the last sign of life. A time in the future, from a clock that is ahead, counts as one: a wrong clock
    /// must not make a running backup removable.
    pub fn state(&self, now: i64) -> UnpublishedState {
        let started = self.started.as_ref();
        let sign_of_life = started.map(|notice| notice.time).max(self.newest);
        let is_fresh = sign_of_life.is_none_or(|time| now.saturating_sub(time) < GRACE_SECONDS);
        let is_running = is_fresh && !self.is_abandoned;
        let may_come_back = |since: i64| now.saturating_sub(since) < LOST_GRACE_SECONDS;
        let building = InProgress {
            label: self.label.clone(),
            references: started.map(|notice| notice.references.clone()),
            is_lost: !is_running,
        };
        if is_running {
            UnpublishedState::InProgress(building)
        } else if self.has_file_list && self.lost_since.is_none_or(may_come_back) {
            UnpublishedState::Lost(building)
        } else {
            UnpublishedState::LeftOver
        }
    }
}
