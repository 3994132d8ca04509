//! What `--dry-run` shows of a backup, and what is said of one that was published.

use std::io::Write;

use serde_json::{Value, json};

use crate::{
    backup::BackupPlan,
    command::Result,
    config::OutputFormat,
    repo::manifest::{ChangesBy, Manifest},
    types::counted,
    ui,
};

/// Shows the plan of a backup into repository `repo`.
pub(super) fn planned(
    out: &mut dyn Write,
    format: OutputFormat,
    repo: u16,
    plan: &BackupPlan,
) -> Result<()> {
    let text = match format {
        OutputFormat::Text => text(repo, plan),
        OutputFormat::Json => format!("{:#}\n", to_json(repo, plan)),
    };
    Ok(out.write_all(text.as_bytes())?)
}

fn text(repo: u16, plan: &BackupPlan) -> String {
    let (kind, label) = (plan.label.kind(), &plan.label);
    let mut lines = vec![
        "backup plan, nothing was written".to_owned(),
        format!("    backup: {kind} {label} in repo{repo}"),
        format!("    source: {}", plan.source.name()),
    ];
    if let Some(base) = &plan.base {
        lines.push(format!("    prior backup: {}", base.manifest.label));
        let chain: Vec<&str> = plan.references.iter().map(|label| label.as_str()).collect();
        lines.push(format!("    refers to: {}", chain.join(", ")));
    }
    if let Some(reason) = &plan.full_reason {
        lines.push(format!("    full backup, because: {reason}"));
    }
    if let Some(changes) = &plan.changes {
        let record = changes.record();
        let how = match record.by {
            ChangesBy::Summaries => "WAL summaries of the server",
            ChangesBy::Blocks => "blocks are compared",
        };
        let reason = record.reason.map_or(String::new(), |reason| format!(": {reason}"));
        lines.push(format!("    change detection: {how}{reason}"));
    }
    lines.join("\n") + "\n"
}

fn to_json(repo: u16, plan: &BackupPlan) -> Value {
    json!({
        "repo": repo,
        "label": plan.label,
        "type": plan.label.kind().to_string(),
        "source": plan.source.name(),
        "prior": plan.base.as_ref().map(|base| &base.manifest.label),
        "reference": plan.references,
        "full-reason": plan.full_reason,
        "changes": plan.changes.as_ref().map(|changes| changes.record()),
    })
}

/// Logs the label and sizes, and what is wrong with it.
pub(super) fn published(manifest: &Manifest) {
    report(manifest);
    report_left_out(manifest);
}

fn report(manifest: &Manifest) {
    let totals = manifest.totals;
    tracing::info!("new backup label = {}", manifest.label);
    tracing::info!(
        "{} backup size = {}, file total = {}, stored = {}",
        manifest.kind(),
        ui::size(totals.size_delta),
        totals.files,
        ui::size(totals.repo_size_delta)
    );
    let damaged = manifest.damaged_files().len();
    if damaged > 0 {
        tracing::warn!(
            "invalid page checksums in {}; backup kept and flagged, see info --set={}",
            counted(damaged as u64, "file"),
            manifest.label
        );
    }
}

/// The entries that the backup lacks, said where it ends.
fn report_left_out(manifest: &Manifest) {
    if !manifest.left_out.is_empty() {
        tracing::warn!(
            "{} of the data directory not in the backup; backup flagged, see info --set={}\n\
             HINT: --backup-source=local, on the host of the server and with its mounts, follows \
             links; a link that the server does not need can be removed",
            counted(manifest.left_out.len() as u64, "link"),
            manifest.label
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backup::{ChangeDetection, PriorBackup, source::SourceKind},
        command::testing::manifest,
        repo::file_list::FileList,
    };

    const FULL: &str = "20261121-092452F";

    fn incr() -> BackupPlan {
        let manifest = manifest(FULL, &[]);
        BackupPlan {
            label: "20261121-092452F_20261122-092452I".parse().unwrap(),
            references: vec![manifest.label.clone()],
            base: Some(PriorBackup { manifest, list: FileList::default() }),
            full_reason: None,
            changes: Some(ChangeDetection::Fallback { reason: "it is odd".to_owned() }),
            source: SourceKind::Local,
        }
    }

    #[test]
    fn a_plan_names_the_chain_and_how_changes_are_found() {
        insta::assert_snapshot!(text(1, &incr()), @r"
        backup plan, nothing was written
            backup: incr 20261121-092452F_20261122-092452I in repo1
            source: local
            prior backup: 20261121-092452F
            refers to: 20261121-092452F
            change detection: blocks are compared: it is odd
        ");
        let json = to_json(1, &incr());
        assert_eq!((&json["type"], &json["reference"]), (&json!("incr"), &json!([FULL])));
        assert_eq!(json["changes"], json!({ "by": "blocks", "reason": "it is odd" }));
    }

    #[test]
    fn a_full_in_place_of_another_type_says_why() {
        let plan = BackupPlan {
            label: FULL.parse().unwrap(),
            references: Vec::new(),
            base: None,
            full_reason: Some("no prior backup exists".to_owned()),
            changes: None,
            source: SourceKind::Stream,
        };
        insta::assert_snapshot!(text(2, &plan), @r"
        backup plan, nothing was written
            backup: full 20261121-092452F in repo2
            source: stream
            full backup, because: no prior backup exists
        ");
    }
}
