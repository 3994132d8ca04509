//! The report of a verification, as text and as JSON. Data in, text out.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{Verified, affected};
use crate::{
    repo::archive::SegmentRange,
    restore::{Branch, RecoveryWindow},
    types::StanzaName,
    ui::{self, info::human_time},
    verify::{ArchiveReport, BackupReport, Checked, Fault, LeftOver, Report},
};

/// What was read, in a sentence.
pub(super) fn summary(report: &Report) -> String {
    let checked = &report.checked;
    let (stored, raw) = (ui::size(checked.stored), ui::size(checked.raw));
    let rate = match core_rate(checked) {
        0 => String::new(),
        rate => format!(", {}/s per core", ui::size(rate)),
    };
    format!(
        "{} objects verified, {stored} stored, {raw} raw, in {:.1}s{rate}",
        checked.objects,
        checked.elapsed.as_secs_f64()
    )
}

/// Raw bytes that one worker proves in a second.
fn core_rate(checked: &Checked) -> u64 {
    match checked.busy.as_secs_f64() {
        busy if busy > 0.0 => (checked.busy_raw as f64 / busy) as u64,
        _ => 0,
    }
}

/// The text form; `verbose` shows what is in order too.
pub(super) fn text(
    stanza: &StanzaName,
    verified: &[Verified],
    verbose: bool,
    zone: &TimeZone,
) -> String {
    let fine = verified.iter().all(|one| one.result.as_ref().is_ok_and(|r| r.faults.is_empty()));
    let mut text = format!("stanza: {stanza}\n    status: {}\n", if fine { "ok" } else { "error" });
    for one in verified {
        match &one.result {
            Err(error) => drop(write!(text, "\n    repo{}: error\n        {error}\n", one.repo)),
            Ok(report) => of_repo(&mut text, one.repo, report, verbose, zone),
        }
    }
    text
}

fn of_repo(text: &mut String, repo: u16, report: &Report, verbose: bool, zone: &TimeZone) {
    let status = match report.faults.len() {
        0 => "ok".to_owned(),
        1 => "error (1 fault)".to_owned(),
        count => format!("error ({count} faults)"),
    };
    let _ = writeln!(text, "\n    repo{repo}: {status}\n        {}", summary(report));
    for backup in report.backups.iter().filter(|backup| verbose || backup.faults > 0) {
        of_backup(text, backup, verbose, zone);
    }
    for archive in report.archives.iter().filter(|archive| verbose || has_remarks(archive)) {
        of_archive(text, archive);
    }
    for found in &report.faults {
        let _ = write!(text, "\n        {}", fault(found, "            "));
        for line in found.hint.lines() {
            let _ = writeln!(text, "            hint: {line}");
        }
    }
    if !report.left_over.is_empty() {
        text.push('\n');
    }
    for found in &report.left_over {
        let _ = writeln!(text, "        {}", left_over(found, zone));
    }
}

fn of_backup(text: &mut String, backup: &BackupReport, verbose: bool, zone: &TimeZone) {
    let status = if backup.faults == 0 { "ok" } else { "error" };
    let _ = writeln!(text, "\n        {} backup: {}", backup.label.kind(), backup.label);
    let _ = writeln!(text, "            status: {status}");
    if verbose {
        let (size, stored) = (ui::size(backup.size), ui::size(backup.repo_size));
        let _ =
            writeln!(text, "            files: {}, size: {size}, stored: {stored}", backup.files);
        if let Some(window) = &backup.window {
            let _ = writeln!(text, "            recovery window: {}", recovery(window, zone));
        }
    }
}

/// How far a backup can be rolled forward.
fn recovery(window: &RecoveryWindow, zone: &TimeZone) -> String {
    if let Some(unusable) = window.unusable {
        return format!("none, {unusable}");
    }
    if let Some(first) = window.missing.first() {
        return format!("none, WAL is missing: {first}");
    }
    let time = window.archived.map(|time| format!(", archived at {}", human_time(time, zone)));
    format!("to {} ({}{})", window.end, window.last, time.unwrap_or_default())
}

fn has_remarks(archive: &ArchiveReport) -> bool {
    !archive.holes.is_empty() || !archive.branches.is_empty()
}

fn of_archive(text: &mut String, archive: &ArchiveReport) {
    let span = match archive.span {
        Some((first, last)) => format!("{first}/{last}"),
        None => "no segments".to_owned(),
    };
    let (files, stored) = (archive.files, ui::size(archive.repo_size));
    let _ = writeln!(
        text,
        "\n        wal archive {}: {span}, files: {files}, stored: {stored}",
        archive.id
    );
    for hole in &archive.holes {
        let _ = writeln!(text, "            gap: {hole}");
    }
    for branch in &archive.branches {
        let _ = writeln!(text, "            branch: {branch}");
    }
}

/// A fault on several lines, those after the first behind `indent`, without its hint.
pub(super) fn fault(fault: &Fault, indent: &str) -> String {
    let mut text = format!("{}: {}\n{indent}{}\n", fault.kind.word(), fault.object, fault.what);
    if !fault.backups.is_empty() {
        let _ = writeln!(text, "{indent}affects: {}", affected(fault).join(", "));
    }
    for file in &fault.files {
        let blocks = match file.blocks {
            1 => format!("block {}", file.first),
            count => format!("{count} blocks from {}", file.first),
        };
        let _ = writeln!(text, "{indent}file: {} of {}, {blocks}", file.path, file.backup);
    }
    if fault.files_more > 0 {
        let _ = writeln!(text, "{indent}and {} more files", fault.files_more);
    }
    text
}

/// An incomplete backup, in a sentence.
pub(super) fn left_over(left: &LeftOver, zone: &TimeZone) -> String {
    let begun = match &left.started {
        Some((time, host)) => format!("started at {} on {host}", human_time(*time, zone)),
        None => "started by an unknown process".to_owned(),
    };
    format!(
        "not a backup: {} has no manifest ({begun}; {} objects, {}): it is in progress or was \
         interrupted",
        left.label,
        left.objects,
        ui::size(left.size)
    )
}

/// The JSON form, on several lines.
pub(super) fn json(stanza: &StanzaName, verified: &[Verified]) -> String {
    let repos: Vec<Value> = verified.iter().map(repo_json).collect();
    let value = json!({ "stanza": stanza.to_string(), "repo": repos });
    format!("{value:#}\n")
}

fn repo_json(one: &Verified) -> Value {
    let report = match &one.result {
        Err(error) => {
            return json!({ "key": one.repo, "status": "error", "error": error.to_string() });
        }
        Ok(report) => report,
    };
    let checked = &report.checked;
    json!({
        "key": one.repo,
        "status": if report.faults.is_empty() { "ok" } else { "error" },
        "backup": report.backups.iter().map(backup_json).collect::<Vec<_>>(),
        "archive": report.archives.iter().map(archive_json).collect::<Vec<_>>(),
        "fault": report.faults.iter().map(fault_json).collect::<Vec<_>>(),
        "left-over": report.left_over.iter().map(left_over_json).collect::<Vec<_>>(),
        "checked": {
            "objects": checked.objects,
            "stored": checked.stored,
            "raw": checked.raw,
            "elapsed-ms": checked.elapsed.as_millis() as u64,
            "core-bytes-per-second": core_rate(checked),
        },
    })
}

fn backup_json(backup: &BackupReport) -> Value {
    json!({
        "label": backup.label.to_string(),
        "type": backup.label.kind().to_string(),
        "status": if backup.faults == 0 { "ok" } else { "error" },
        "faults": backup.faults,
        "files": backup.files,
        "size": backup.size,
        "stored": backup.repo_size,
        "recovery": backup.window.as_ref().map(window_json),
    })
}

fn window_json(window: &RecoveryWindow) -> Value {
    json!({
        "missing": window.missing.iter().map(range_json).collect::<Vec<_>>(),
        "history": window.unusable.map(|unusable| unusable.to_string()),
        "stop": window.last.to_string(),
        "lsn": window.end.to_string(),
        "time": window.archived,
        "gap": window.hole.as_ref().map(range_json),
    })
}

fn archive_json(archive: &ArchiveReport) -> Value {
    json!({
        "id": archive.id.to_string(),
        "min": archive.span.map(|(first, _)| first.to_string()),
        "max": archive.span.map(|(_, last)| last.to_string()),
        "files": archive.files,
        "stored": archive.repo_size,
        "gap": archive.holes.iter().map(range_json).collect::<Vec<_>>(),
        "branch": archive.branches.iter().map(branch_json).collect::<Vec<_>>(),
    })
}

fn branch_json(branch: &Branch) -> Value {
    json!({
        "timeline": branch.timeline.0,
        "max": branch.newest.to_string(),
        "time": branch.archived,
        "beside": branch.beside.0,
        "lsn": branch.fork.to_string(),
    })
}

fn range_json(range: &SegmentRange) -> Value {
    json!({ "start": range.first.to_string(), "stop": range.last.to_string(), "count": range.count() })
}

fn fault_json(fault: &Fault) -> Value {
    let files = fault.files.iter().map(|file| {
        json!({
            "backup": file.backup.to_string(),
            "path": file.path.to_string(),
            "blocks": file.blocks,
            "first": file.first,
        })
    });
    json!({
        "kind": fault.kind.word(),
        "code": fault.kind.code().exit_code(),
        "object": fault.object,
        "what": fault.what,
        "backup": affected(fault),
        "file": files.collect::<Vec<_>>(),
        "files-more": fault.files_more,
        "hint": fault.hint,
    })
}

fn left_over_json(left: &LeftOver) -> Value {
    json!({
        "label": left.label.to_string(),
        "objects": left.objects,
        "stored": left.size,
        "time": left.started.as_ref().map(|(time, _)| time),
        "host": left.started.as_ref().map(|(_, host)| host),
    })
}
