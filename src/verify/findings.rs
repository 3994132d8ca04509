//! The faults that were found so far.

use std::collections::{BTreeMap, BTreeSet};

use super::report::{AffectedFile, Checked, Fault, FaultKind};
use crate::{
    repo::{self, layout::BackupPaths},
    storage::{ErrorKind, Storage},
    types::{BackupLabel, ErrorCode, Failure, StanzaName},
};

#[derive(Debug, Default)]
pub(super) struct Findings {
    faults: BTreeMap<(String, FaultKind), Fault>,
    pub(super) checked: Checked,
}

impl Findings {
    /// Adds a fault; a second one of the same object and kind is merged with the first.
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

    /// Adds the fault of an object that could not be read.
    pub(super) fn add_error(
        &mut self,
        object: impl Into<String>,
        error: &repo::Error,
    ) -> &mut Fault {
        let (kind, what) = describe(error);
        self.add(object, kind, what)
    }

    /// Removes a fault.
    pub(super) fn forget(&mut self, object: &str, kind: FaultKind) {
        self.faults.remove(&(object.to_owned(), kind));
    }

    /// Adds a backup that the faults of an object affect.
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

    pub(super) fn count(&mut self, stored: u64, raw: u64) {
        self.checked.objects += 1;
        self.checked.stored += stored;
        self.checked.raw += raw;
    }

    /// Removes the faults of backups that were expired during the verification.
    pub(super) async fn drop_expired(
        &mut self,
        storage: &dyn Storage,
        stanza: &StanzaName,
        labels: impl Iterator<Item = &BackupLabel>,
    ) {
        for label in labels {
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

    pub(super) fn into_faults(self) -> Vec<Fault> {
        self.faults.into_values().collect()
    }
}

/// The fault of an object whose read gave this error.
pub(super) fn describe(error: &repo::Error) -> (FaultKind, String) {
    let kind = match error {
        repo::Error::Damaged { what, .. } => {
            return (FaultKind::Damaged, format!("its {what} does not match what was recorded"));
        }
        repo::Error::Format { what, .. } => {
            return (FaultKind::Damaged, format!("it is not valid: {what}"));
        }
        repo::Error::Wal { source, .. } => {
            return (FaultKind::Damaged, format!("it is not a complete WAL file: {source}"));
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
        // The stanza could be read, so the repository is not encrypted: the magic is damaged.
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
