//! What is known of the backups that a plan is made for.

use std::collections::BTreeSet;

use crate::{
    repo::{keep::KeepMark, manifest::Manifest, started::Started},
    types::{ArchiveId, BackupLabel, BackupType, WalSegment, WalSegmentSize},
};

/// So long after its last sign of life a backup without manifest may still be in progress.
pub const GRACE_SECONDS: i64 = 24 * 60 * 60;

/// So long what is left of a backup stays after its manifest was found to be missing: time to bring that back.
pub const LOST_GRACE_SECONDS: i64 = 7 * 24 * 60 * 60;

/// A backup that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupFacts {
    /// The label.
    pub label: BackupLabel,
    /// All backups that a restore of this one reads.
    pub needs: BTreeSet<BackupLabel>,
    /// Where its WAL is.
    pub archive_id: ArchiveId,
    /// The size of its WAL segments.
    pub segment_size: WalSegmentSize,
    /// The first segment it needs to become consistent.
    pub wal_start: WalSegment,
    /// The last segment it needs to become consistent.
    pub wal_stop: WalSegment,
    /// When it ended, seconds since 1970.
    pub stopped: i64,
    /// Whether it is marked with errors: damaged pages, or files that are not in it.
    pub has_errors: bool,
    /// Its keep mark, also where the time of that has passed.
    pub mark: Option<KeepMark>,
    /// Whether objects of it are missing: it cannot be restored, and what it is may still be told by its manifest.
    pub is_incomplete: bool,
}

impl BackupFacts {
    /// The facts of a backup from its manifest and mark.
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

    /// The same backup, of which objects are missing.
    pub fn incomplete(self) -> Self {
        Self { is_incomplete: true, ..self }
    }

    /// The type.
    pub fn kind(&self) -> BackupType {
        self.label.kind()
    }

    /// Whether a mark keeps it at `now`.
    pub fn is_marked(&self, now: i64) -> bool {
        self.mark.is_some_and(|mark| mark.holds(now))
    }
}

/// The full backup that the label of another one names.
pub(super) fn full_of(label: &BackupLabel) -> Option<BackupLabel> {
    match label.kind() {
        BackupType::Full => None,
        BackupType::Diff | BackupType::Incr => label.full_label().parse().ok(),
    }
}

/// A directory of a backup without manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpublished {
    /// The label.
    pub label: BackupLabel,
    /// The notice of the backup that began it, where there is one.
    pub started: Option<Started>,
    /// When its newest object was made, or, where there is none, the directory; seconds since 1970.
    pub newest: Option<i64>,
    /// Whether the process that began it is proven to be gone.
    pub is_abandoned: bool,
    /// Whether it has a file list, which is written last but for the manifest: what has one may be a backup of which the
    /// manifest was lost.
    pub has_file_list: bool,
    /// Since when an expire knows that the manifest is missing, seconds since 1970.
    pub lost_since: Option<i64>,
}

/// A backup that runs, as far as can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InProgress {
    /// The label it will have.
    pub label: BackupLabel,
    /// What it builds on, where its notice says so.
    pub references: Option<Vec<BackupLabel>>,
    /// Whether it does not run any more: its manifest was lost, or its publication was interrupted.
    pub is_lost: bool,
}

/// What a directory without manifest is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnpublishedState {
    /// A backup that runs, or may.
    InProgress(InProgress),
    /// A backup whose manifest is missing and may be brought back.
    Lost(InProgress),
    /// What a backup, or an expire, that was interrupted left.
    LeftOver,
}

impl Unpublished {
    /// Decides by its last sign of life. Times in the future, of a clock that is ahead, are signs of life.
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
        match self.has_file_list && self.lost_since.is_none_or(may_come_back) {
            _ if is_running => UnpublishedState::InProgress(building),
            true => UnpublishedState::Lost(building),
            false => UnpublishedState::LeftOver,
        }
    }
}
