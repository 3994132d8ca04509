//! The report of a verification.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    repo::archive::SegmentRange,
    restore::{Branch, RecoveryWindow},
    types::{ArchiveId, BackupLabel, DataPath, ErrorCode, WalSegment},
};

/// Maximum number of files listed per fault.
const FILES_MAX: usize = 20;

/// The kind of a fault, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// The object belongs to no backup.
    Orphan,
    /// The object could not be read, so its state is unknown.
    Unreadable,
    /// The verification itself failed, so the state of the object is unknown.
    Unproven,
    /// Objects that are intact contradict each other.
    Inconsistent,
    /// A gap in the WAL: segments are missing between existing ones.
    Hole,
    /// A required object is missing.
    Missing,
    /// The content is not what was stored.
    Damaged,
}

impl FaultKind {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Orphan => "orphan",
            Self::Unreadable => "unreadable",
            Self::Unproven => "unproven",
            Self::Inconsistent => "inconsistent",
            Self::Hole => "hole",
            Self::Missing => "missing",
            Self::Damaged => "damaged",
        }
    }

    /// The exit code of a verification with this as the worst fault.
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Orphan => ErrorCode::FileInvalid,
            Self::Unreadable => ErrorCode::FileRead,
            Self::Unproven => ErrorCode::Assert,
            Self::Inconsistent => ErrorCode::Format,
            Self::Hole | Self::Missing => ErrorCode::FileMissing,
            Self::Damaged => ErrorCode::Checksum,
        }
    }

    pub(super) const fn hint(self) -> &'static str {
        match self {
            Self::Orphan => "nothing reads it; remove it by hand if it is not needed",
            Self::Unreadable => "mend what keeps it from being read and verify again",
            Self::Unproven => "this is a bug in pgstrata: please report it with the log",
            Self::Inconsistent => {
                "the repository was changed by something else than this program; use another \
                 backup or repository"
            }
            Self::Hole => {
                "push the segments again if a server or another repository still has them; a new \
                 backup does not need them"
            }
            Self::Missing => {
                "bring it back from a copy of the repository; otherwise the backups it affects \
                 cannot be restored"
            }
            Self::Damaged => {
                "bring it back from a copy of the repository, use another backup or repository, \
                 and look at the disk; make a new full backup"
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    /// The object, relative to the root of the repository; for a gap its first segment.
    pub object: String,
    pub what: String,
    /// The backups that it affects.
    pub backups: BTreeSet<BackupLabel>,
    /// Files of these backups with affected blocks, at most 20.
    pub files: Vec<AffectedFile>,
    /// Number of further affected files.
    pub files_more: u64,
    pub hint: String,
}

/// A file with affected blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffectedFile {
    pub backup: BackupLabel,
    pub path: DataPath,
    /// Number of affected blocks.
    pub blocks: u64,
    /// Number of the first affected block in the file.
    pub first: u64,
}

/// A backup directory without manifest: an interrupted or running backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOver {
    pub label: BackupLabel,
    /// Number of objects.
    pub objects: u64,
    /// Stored bytes.
    pub size: u64,
    /// Start (seconds since 1970) and host, from its notice if it can be read.
    pub started: Option<(i64, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupReport {
    pub label: BackupLabel,
    /// Number of faults that affect it.
    pub faults: u64,
    pub files: u64,
    /// Raw bytes of its files.
    pub size: u64,
    /// Stored bytes of its own objects.
    pub repo_size: u64,
    /// How far it can be recovered; `None` if the archive could not be listed.
    pub window: Option<RecoveryWindow>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveReport {
    pub id: ArchiveId,
    /// Number of WAL files.
    pub files: u64,
    /// Stored bytes.
    pub repo_size: u64,
    /// Oldest and newest segment.
    pub span: Option<(WalSegment, WalSegment)>,
    /// Gaps between its segments, including those that affect no backup.
    pub holes: Vec<SegmentRange>,
    /// Timelines that continue in parallel to a newer one.
    pub branches: Vec<Branch>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    pub objects: u64,
    /// Stored bytes.
    pub stored: u64,
    /// Raw bytes, after decompression.
    pub raw: u64,
    pub elapsed: Duration,
    /// Total busy time of all workers on bundles.
    pub busy: Duration,
    /// Raw bytes of the bundles.
    pub busy_raw: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Oldest first.
    pub backups: Vec<BackupReport>,
    pub archives: Vec<ArchiveReport>,
    /// Faults, sorted by object.
    pub faults: Vec<Fault>,
    /// Interrupted or running backups.
    pub left_over: Vec<LeftOver>,
    pub checked: Checked,
}

impl Report {
    /// The kind of the worst fault; `None` if there is none.
    pub fn worst(&self) -> Option<FaultKind> {
        self.faults.iter().map(|fault| fault.kind).max()
    }
}

impl Fault {
    pub(super) fn of(&mut self, label: &BackupLabel) -> &mut Self {
        self.backups.insert(label.clone());
        self
    }

    pub(super) fn of_all<'a>(
        &mut self,
        labels: impl IntoIterator<Item = &'a BackupLabel>,
    ) -> &mut Self {
        self.backups.extend(labels.into_iter().cloned());
        self
    }

    pub(super) fn file(&mut self, file: AffectedFile) {
        self.backups.insert(file.backup.clone());
        let same = |known: &AffectedFile| known.backup == file.backup && known.path == file.path;
        match self.files.iter().position(same) {
            Some(index) => {
                let known = &mut self.files[index];
                known.blocks += file.blocks;
                known.first = known.first.min(file.first);
            }
            None if self.files.len() < FILES_MAX => self.files.push(file),
            None => self.files_more += 1,
        }
    }
}
