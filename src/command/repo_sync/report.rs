//! What was, or would be, copied, as text and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::Synced;
use crate::{
    command::Result,
    config::{Config, OutputFormat},
    sync::{Outcome, Skipped, SyncPlan},
    types::{BackupLabel, Failure, StanzaName},
    ui,
};

/// One stanza; keys in the order of the alphabet.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct StanzaReport {
    backup: Vec<BackupReport>,
    /// Changes of marks and annotations of backups that the target had.
    changes: u64,
    dry_run: bool,
    error: Vec<ErrorReport>,
    skipped: Vec<SkippedReport>,
    stanza: String,
    wal: WalReport,
}

#[derive(Debug, Serialize)]
struct BackupReport {
    bytes: u64,
    label: BackupLabel,
    objects: u64,
}

#[derive(Debug, Serialize)]
struct ErrorReport {
    backup: Option<BackupLabel>,
    code: u8,
    message: String,
}

#[derive(Debug, Serialize)]
struct SkippedReport {
    label: BackupLabel,
    why: String,
}

#[derive(Debug, Default, Serialize)]
struct WalReport {
    bytes: u64,
    files: u64,
}

/// The whole report.
pub(super) fn report(
    config: &Config,
    synced: &[(StanzaName, Result<Synced>)],
) -> std::io::Result<String> {
    let reports: Vec<StanzaReport> =
        synced.iter().map(|(stanza, result)| of_stanza(stanza, result)).collect();
    match config.output {
        OutputFormat::Json => Ok(serde_json::to_string(&reports)? + "\n"),
        OutputFormat::Text => Ok(reports.iter().map(text).collect::<Vec<_>>().join("\n")),
    }
}

fn of_stanza(stanza: &StanzaName, result: &Result<Synced>) -> StanzaReport {
    let report = match result {
        Ok(Synced::Planned(plan)) => of_plan(plan),
        Ok(Synced::Done(outcome)) => of_outcome(outcome),
        Err(error) => StanzaReport { error: vec![of_error(None, error)], ..empty() },
    };
    StanzaReport { stanza: stanza.to_string(), ..report }
}

fn empty() -> StanzaReport {
    StanzaReport {
        backup: Vec::new(),
        changes: 0,
        dry_run: false,
        error: Vec::new(),
        skipped: Vec::new(),
        stanza: String::new(),
        wal: WalReport::default(),
    }
}

fn of_plan(plan: &SyncPlan) -> StanzaReport {
    let (files, bytes) =
        plan.wal.iter().map(|wal| wal.totals()).fold((0, 0), |(f, b), (df, db)| (f + df, b + db));
    let backup = plan.backups.iter().map(|copy| BackupReport {
        bytes: copy.bytes,
        label: copy.to.label.clone(),
        objects: copy.objects,
    });
    let error = plan.unreadable.iter().map(|(label, error)| of_error(Some(label), error));
    StanzaReport {
        backup: backup.collect(),
        dry_run: true,
        error: error.collect(),
        skipped: skipped(&plan.skipped),
        wal: WalReport { bytes, files },
        ..empty()
    }
}

fn of_outcome(outcome: &Outcome) -> StanzaReport {
    let backup = outcome.backups.iter().map(|copied| BackupReport {
        bytes: copied.bytes,
        label: copied.label.clone(),
        objects: copied.objects,
    });
    let error = outcome.failed.iter().map(|failed| of_error(failed.label.as_ref(), &failed.error));
    StanzaReport {
        backup: backup.collect(),
        changes: outcome.changes,
        error: error.collect(),
        skipped: skipped(&outcome.skipped),
        wal: WalReport { bytes: outcome.wal_bytes, files: outcome.wal_files },
        ..empty()
    }
}

fn of_error(label: Option<&BackupLabel>, error: &dyn Failure) -> ErrorReport {
    ErrorReport {
        backup: label.cloned(),
        code: error.code().exit_code(),
        message: error.to_string(),
    }
}

fn skipped(skipped: &[Skipped]) -> Vec<SkippedReport> {
    let report =
        |one: &Skipped| SkippedReport { label: one.label.clone(), why: one.reason.to_string() };
    skipped.iter().map(report).collect()
}

fn text(report: &StanzaReport) -> String {
    let what = if report.dry_run { "to copy" } else { "copied" };
    let mut text = format!("stanza: {}\n", report.stanza);
    let mut rows: Vec<Vec<String>> = Vec::new();
    for backup in &report.backup {
        let label = backup.label.to_string();
        rows.push(vec![label, backup.objects.to_string(), ui::size(backup.bytes)]);
    }
    let wal = &report.wal;
    rows.push(vec!["WAL".to_owned(), wal.files.to_string(), ui::size(wal.bytes)]);
    text.push_str(&ui::table(&[what, "objects", "size"], &rows));
    if report.changes > 0 {
        let _ = writeln!(text, "changes of marks and annotations: {}", report.changes);
    }
    for skipped in &report.skipped {
        let _ = writeln!(text, "not copied: {}: {}", skipped.label, skipped.why);
    }
    for error in &report.error {
        let _ = writeln!(text, "error: [{:03}]: {}", error.code, error.message);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{repo, sync};

    #[test]
    fn both_forms_tell_what_was_copied_skipped_and_failed() {
        let label: BackupLabel = "20261121-092452F".parse().unwrap();
        let error = repo::Error::Damaged { object: "/r/x".to_owned(), what: "SHA-256" };
        let outcome = Outcome {
            backups: vec![sync::CopiedBackup { label: label.clone(), objects: 5, bytes: 5 << 20 }],
            wal_files: 3,
            wal_bytes: 3 << 20,
            changes: 1,
            skipped: vec![Skipped { label: label.clone(), reason: sync::SkipReason::Retention }],
            failed: vec![sync::Failed { label: Some(label), error: error.into() }],
        };
        let report = of_stanza(&"demo".parse().unwrap(), &Ok(Synced::Done(outcome)));
        insta::assert_snapshot!(text(&report));
        insta::assert_snapshot!(serde_json::to_string(&[report]).unwrap());
    }
}
