//! What an expire removes and keeps, in words; the same for the log and for a dry run.

use crate::{
    expire::{ArchiveContent, ArchiveRemoval, ExpireJob, Removal, Swept},
    repo::{archive::StoredWal, retention::ExpirePlan},
    types::{ArchiveFile, WalSegment, WalSegmentSize},
    ui,
};

/// Logs what goes and, in detail, what stays.
pub(super) fn log(repo: u16, job: &ExpireJob) {
    warn(repo, &job.plan);
    for line in kept(repo, &job.plan) {
        tracing::debug!(target: ui::DETAIL, "{line}");
    }
    for line in removed(repo, &job.removal) {
        tracing::info!("{line}");
    }
}

/// Logs the unfinished files that were removed.
pub(super) fn swept(repo: u16, swept: &[Swept]) {
    for Swept { directory, count } in swept {
        tracing::info!("repo{repo}: remove {count} unfinished files in {directory}");
    }
}

/// Logs what the user should know of the plan.
pub(super) fn warn(repo: u16, plan: &ExpirePlan) {
    for warning in &plan.warnings {
        tracing::warn!("repo{repo}: {warning}");
    }
}

/// What is removed, a line each.
pub(super) fn removed(repo: u16, removal: &Removal) -> Vec<String> {
    let mut lines = Vec::new();
    for backup in &removal.backups {
        let (kind, label, size) = (backup.label.kind(), &backup.label, ui::size(backup.size));
        lines.push(format!("repo{repo}: expire {kind} backup {label}, {size}"));
    }
    for left in removal.left_overs.iter().filter(|left| left.size > 0) {
        let size = ui::size(left.size);
        lines.push(format!("repo{repo}: remove interrupted backup {}, {size}", left.label));
    }
    for archive in &removal.archives {
        lines.extend(wal(archive).into_iter().map(|line| format!("repo{repo}: {line}")));
    }
    if lines.is_empty() {
        lines.push(format!("repo{repo}: nothing to expire"));
    }
    lines
}

/// What stays, a line each.
pub(super) fn kept(repo: u16, plan: &ExpirePlan) -> Vec<String> {
    let mut lines = Vec::new();
    for kept in &plan.kept {
        let reasons: Vec<String> = kept.reasons.iter().map(ToString::to_string).collect();
        lines.push(format!("repo{repo}: keep backup {}: {}", kept.label, reasons.join(", ")));
    }
    for running in plan.in_progress.iter().filter(|building| !building.is_lost) {
        lines.push(format!("repo{repo}: keep backup {}, which is in progress", running.label));
    }
    lines
}

fn wal(archive: &ArchiveRemoval) -> Vec<String> {
    let id = archive.id;
    match &archive.content {
        ArchiveContent::Everything(paths) => {
            vec![format!(
                "{id} remove the whole archive, {} objects: no backup is left",
                paths.len()
            )]
        }
        ArchiveContent::Files(files) => {
            let size = archive.segment_size.unwrap_or(WalSegmentSize::DEFAULT);
            let (segments, others) = divide(files);
            let runs = runs(&segments, size).into_iter().map(|(start, stop, count)| {
                format!("{id} remove archive, start = {start}, stop = {stop}, {count} segments")
            });
            let others = others.into_iter().map(|file| format!("{id} remove archive file {file}"));
            runs.chain(others).collect()
        }
    }
}

/// Segments, and all other files.
fn divide(files: &[StoredWal]) -> (Vec<WalSegment>, Vec<ArchiveFile>) {
    let (mut segments, mut others) = (Vec::new(), Vec::new());
    for stored in files {
        match stored.file {
            ArchiveFile::Segment(segment) => segments.push(segment),
            other => others.push(other),
        }
    }
    segments.dedup();
    (segments, others)
}

/// Segments that follow one another: first, last, how many.
fn runs(segments: &[WalSegment], size: WalSegmentSize) -> Vec<(WalSegment, WalSegment, usize)> {
    let mut runs: Vec<(WalSegment, WalSegment, usize)> = Vec::new();
    for segment in segments {
        match runs.last_mut() {
            Some((_, stop, count)) if stop.next(size) == *segment => {
                (*stop, *count) = (*segment, *count + 1);
            }
            _ => runs.push((*segment, *segment, 1)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_that_follow_one_another_are_one_line() {
        let segments: Vec<WalSegment> = [
            "0000000100000000000000FE",
            "0000000100000000000000FF",
            "000000010000000100000000",
            "000000010000000100000002",
            "000000020000000100000003",
        ]
        .map(|name| name.parse().unwrap())
        .to_vec();
        let counts: Vec<usize> =
            runs(&segments, WalSegmentSize::DEFAULT).iter().map(|run| run.2).collect();
        assert_eq!(counts, [3, 1, 1]);
    }
}
