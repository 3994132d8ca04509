//! What was found, as plain data.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{archive::Archives, backups::Backups, inventory::Inventory, windows::Windows};
use crate::{
    repo::{self, archive::SegmentRange, layout::BackupPaths},
    restore::{Branch, RecoveryWindow},
    storage::{ErrorKind, Storage},
    types::{ArchiveId, BackupLabel, DataPath, ErrorCode, Failure, StanzaName, WalSegment},
};

/// How many files a fault names.
const FILES_MAX: usize = 20;

/// What kind of fault it is, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// Nothing accounts for the object.
    Orphan,
    /// The object could not be read, so nothing is known of it.
    Unreadable,
    /// The proof itself failed, so nothing is known of the object.
    Unproven,
    /// Objects that are whole by themselves contradict each other.
    Inconsistent,
    /// WAL is missing between segments that are there.
    Hole,
    /// Something that must be there is not.
    Missing,
    /// The bytes are not those that were stored.
    Damaged,
}

impl FaultKind {
    /// The word for it.
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

    /// The code that a verification ends with whose worst fault this is.
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

    const fn hint(self) -> &'static str {
        match self {
            Self::Orphan => "nothing reads it; remove it by hand if nobody knows of it",
            Self::Unreadable => "mend what keeps it from being read and verify again",
            Self::Unproven => "this is a defect of the program: report it with the log",
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

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What kind of fault it is.
    pub kind: FaultKind,
    /// The object, from the root of the repository; of a hole, its first segment.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
    /// The backups that cannot be trusted because of it.
    pub backups: BTreeSet<BackupLabel>,
    /// The files of those backups whose blocks are affected; at most 20 are named.
    pub files: Vec<AffectedFile>,
    /// How many more files are affected.
    pub files_more: u64,
    /// What to do about it.
    pub hint: String,
}

/// A file with blocks that cannot be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffectedFile {
    /// The backup.
    pub backup: BackupLabel,
    /// The file.
    pub path: DataPath,
    /// How many of its blocks are affected.
    pub blocks: u64,
    /// The number of the first one in the file.
    pub first: u64,
}

/// A directory of a backup that has no manifest: an interrupted backup, or one in progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOver {
    /// The backup's label.
    pub label: BackupLabel,
    /// How many objects it has.
    pub objects: u64,
    /// Their stored bytes.
    pub size: u64,
    /// When it began, seconds since 1970, and on which host, where its notice tells.
    pub started: Option<(i64, String)>,
}

/// A backup that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupReport {
    /// Its label.
    pub label: BackupLabel,
    /// How many faults affect it.
    pub faults: u64,
    /// Its files.
    pub files: u64,
    /// Raw bytes of its files.
    pub size: u64,
    /// Stored bytes of its own objects.
    pub repo_size: u64,
    /// How far it can be rolled forward; `None` where the archive could not be listed.
    pub window: Option<RecoveryWindow>,
}

/// An archive that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveReport {
    /// Which.
    pub id: ArchiveId,
    /// How many WAL files it holds.
    pub files: u64,
    /// Their stored bytes.
    pub repo_size: u64,
    /// The oldest and the newest segment.
    pub span: Option<(WalSegment, WalSegment)>,
    /// The holes between its segments, also those that affect no backup.
    pub holes: Vec<SegmentRange>,
    /// The timelines that continue beside a newer one.
    pub branches: Vec<Branch>,
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Objects.
    pub objects: u64,
    /// Stored bytes.
    pub stored: u64,
    /// Raw bytes that came out of them.
    pub raw: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// How long all workers together were busy with bundles, and the raw bytes that they made.
    pub busy: Duration,
    /// Raw bytes of bundles.
    pub busy_raw: u64,
}

/// The result of a verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The backups, oldest first.
    pub backups: Vec<BackupReport>,
    /// The archives.
    pub archives: Vec<ArchiveReport>,
    /// What is wrong, in the order of the objects.
    pub faults: Vec<Fault>,
    /// What interrupted or running backups have in the repository.
    pub left_over: Vec<LeftOver>,
    /// What was read.
    pub checked: Checked,
}

impl Report {
    /// The worst fault; `None` where all is well.
    pub fn worst(&self) -> Option<FaultKind> {
        self.faults.iter().map(|fault| fault.kind).max()
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    faults: BTreeMap<(String, FaultKind), Fault>,
    pub(super) checked: Checked,
}

impl Findings {
    /// Notes a fault; a second one of the same object and kind joins the first.
    pub(super) fn add(
        &mut self,
        object: impl Into<String>,
        kind: FaultKind,
        what: impl Into<String>,
    ) -> &mut Fault {
        let (object, what) = (object.into(), what.into());
        let fault = self.faults.entry((object.clone(), kind)).or_insert_with(|| Fault {
            kind,
            object,
            what: what.clone(),
            backups: BTreeSet::new(),
            files: Vec::new(),
            files_more: 0,
            hint: kind.hint().to_owned(),
        });
        if !fault.what.contains(&what) {
            fault.what = format!("{}; {what}", fault.what);
        }
        fault
    }

    /// Notes an object that could not be read.
    pub(super) fn add_error(
        &mut self,
        object: impl Into<String>,
        error: &repo::Error,
    ) -> &mut Fault {
        let (kind, what) = describe(error);
        self.add(object, kind, what)
    }

    /// Adds a backup to those that the faults of an object affect.
    pub(super) fn of_object(&mut self, object: &str, label: &BackupLabel) {
        for fault in self.faults.values_mut().filter(|fault| fault.object == object) {
            fault.of(label);
        }
    }

    /// Adds a file to the worst fault of an object.
    pub(super) fn affected(&mut self, object: &str, file: AffectedFile) {
        let of_object = |fault: &&mut Fault| fault.object == object;
        if let Some(fault) = self.faults.values_mut().filter(of_object).last() {
            fault.file(file);
        }
    }

    /// Counts an object that was read.
    pub(super) fn count(&mut self, stored: u64, raw: u64) {
        self.checked.objects += 1;
        self.checked.stored += stored;
        self.checked.raw += raw;
    }

    /// Takes back what is missing of backups that were there when the verification began and have been
    /// expired since.
    pub(super) async fn drop_expired(
        &mut self,
        storage: &dyn Storage,
        stanza: &StanzaName,
        backups: &Backups,
    ) {
        for label in backups.in_scope() {
            let affects = |fault: &&Fault| fault.backups.contains(label);
            if !self.faults.values().any(|fault| affects(&fault)) {
                continue;
            }
            let manifest = BackupPaths::new(stanza, label).and_then(|paths| paths.manifest());
            let Ok(manifest) = manifest else { continue };
            let looked = storage.stat(&manifest).await;
            if looked.is_err_and(|error| error.is_not_found()) {
                tracing::warn!("backup {label} was removed while it was verified");
                self.faults.retain(|_, fault| {
                    let affected = fault.backups.remove(label);
                    !affected || !fault.backups.is_empty()
                });
            }
        }
    }

    pub(super) fn report(
        self,
        backups: &Backups,
        inventory: &Inventory,
        archives: Archives,
        windows: Windows,
        elapsed: Duration,
    ) -> Report {
        let faults: Vec<Fault> = self.faults.into_values().collect();
        let (mut by_label, mut by_archive) = (windows.by_label, windows.by_archive);
        let of_backup = |label: &BackupLabel| {
            let affected = faults.iter().filter(|fault| fault.backups.contains(label));
            let totals =
                backups.manifest(label).map(|manifest| manifest.totals).unwrap_or_default();
            BackupReport {
                label: label.clone(),
                faults: affected.count() as u64,
                files: totals.files,
                size: totals.size,
                repo_size: inventory.size_of(label),
                window: by_label.remove(label),
            }
        };
        Report {
            backups: backups.in_scope().map(of_backup).collect(),
            archives: archives.reports(|id| by_archive.remove(&id).unwrap_or_default()),
            left_over: backups.left_over.clone(),
            checked: Checked { elapsed, ..self.checked },
            faults,
        }
    }
}

impl Fault {
    /// Adds a backup that is affected.
    pub(super) fn of(&mut self, label: &BackupLabel) -> &mut Self {
        self.backups.insert(label.clone());
        self
    }

    /// Adds backups that are affected.
    pub(super) fn of_all<'a>(
        &mut self,
        labels: impl IntoIterator<Item = &'a BackupLabel>,
    ) -> &mut Self {
        self.backups.extend(labels.into_iter().cloned());
        self
    }

    /// Adds a file that is affected.
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

/// What an error says of the object that it came from.
pub(super) fn describe(error: &repo::Error) -> (FaultKind, String) {
    let kind = match error {
        repo::Error::Damaged { what, .. } => {
            return (FaultKind::Damaged, format!("its {what} does not match what was recorded"));
        }
        repo::Error::Format { what, .. } => {
            return (FaultKind::Damaged, format!("it is not valid: {what}"));
        }
        repo::Error::Wal { source, .. } => {
            return (FaultKind::Damaged, format!("it is no whole WAL file: {source}"));
        }
        repo::Error::Storage(error) => match error.kind() {
            ErrorKind::NotFound => return (FaultKind::Missing, "it does not exist".to_owned()),
            ErrorKind::Truncated => {
                return (FaultKind::Damaged, "it is shorter than it must be".to_owned());
            }
            ErrorKind::Damaged => FaultKind::Damaged,
            _ => FaultKind::Unreadable,
        },
        repo::Error::BackupMissing { .. } => {
            return (FaultKind::Missing, "it does not exist".to_owned());
        }
        // Its stanza was read, so the repository is not: the magic is damaged.
        repo::Error::Encrypted { .. } | repo::Error::Duplicate { .. } => FaultKind::Damaged,
        repo::Error::Invalid(_) => FaultKind::Inconsistent,
        repo::Error::Work(_) | repo::Error::Bug { .. } => FaultKind::Unproven,
        repo::Error::Codec { source, .. } => {
            let kind = if error.is_damage() { FaultKind::Damaged } else { FaultKind::Unproven };
            return (kind, format!("it is not valid: {source}"));
        }
        _ if error.code() == ErrorCode::Checksum => FaultKind::Damaged,
        _ => FaultKind::Unreadable,
    };
    (kind, error.to_string())
}
