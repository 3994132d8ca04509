//! What `--dry-run` shows: the plan, as text or JSON.

use std::{io::Write, path::Path};

use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};

use super::{Repo, Result};
use crate::{
    config::OutputFormat,
    restore::{
        execute::{Existing, Options},
        plan::{NamedBy, Outside, RestorePlan},
    },
    types::without_passwords,
    ui,
};

/// Shows the plan.
pub(super) fn write(
    out: &mut dyn Write,
    format: OutputFormat,
    repo: &Repo,
    plan: &RestorePlan,
    options: &Options,
    zone: &TimeZone,
) -> Result<()> {
    let text = match format {
        OutputFormat::Text => text(repo.key, plan, options, zone),
        OutputFormat::Json => format!("{:#}\n", to_json(repo.key, plan, options)),
    };
    Ok(out.write_all(text.as_bytes())?)
}

/// A moment in seconds since 1970, as log lines show it.
pub(super) fn moment(seconds: i64, zone: &TimeZone) -> String {
    match Timestamp::from_second(seconds) {
        Ok(moment) => moment.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => seconds.to_string(),
    }
}

fn text(repo: u16, plan: &RestorePlan, options: &Options, zone: &TimeZone) -> String {
    let manifest = &plan.manifest;
    let mut lines = vec![
        "restore plan, nothing was written".to_owned(),
        format!(
            "    backup set: {} in repo{repo}, PostgreSQL {}, stopped at {}",
            manifest.label,
            manifest.cluster.version,
            moment(manifest.timestamp().stop, zone)
        ),
        format!("    data directory: {}", plan.layout.data.display()),
        format!("    existing files: {}", existing(options.existing)),
        format!(
            "    to write: {} in {} files, {} directories",
            ui::size(plan.entries.size()),
            plan.entries.files.len() + 1,
            plan.entries.directories.len()
        ),
        format!(
            "    WAL to become consistent: {} to {}",
            manifest.wal_start(),
            manifest.wal_stop()
        ),
        format!("    timeline: {}", plan.timeline.history.timeline),
    ];
    if !plan.entries.emptied.is_empty() {
        let count = plan.entries.emptied.len();
        lines.push(format!("    without data: {count} files of excluded databases"));
    }
    for link in &plan.layout.links {
        lines.push(format!("    link: {} -> {}", link.path, one_line(&link.target)));
    }
    for (path, target) in &plan.layout.inner {
        lines.push(format!("    link: {path} -> {}", one_line(target)));
    }
    for place in plan.layout.outside() {
        let by = match place.named_by {
            NamedBy::Backup => "the backup",
            NamedBy::Option => "an option",
            NamedBy::DataDirectory => "a link of the data directory",
        };
        let path = one_line(place.path);
        lines.push(format!("    outside of the data directory: {path}, named by {by}"));
    }
    for (name, value) in options.recovery.settings() {
        let value = without_passwords(if value.is_empty() { "''" } else { &value });
        lines.push(format!("    setting: {name} = {value}"));
    }
    if let Some(signal) = options.recovery.signal_file() {
        lines.push(format!("    signal file: {}", signal.file_name()));
    }
    for warning in &plan.warnings {
        lines.push(format!("    warning: {warning}"));
    }
    lines.join("\n") + "\n"
}

/// A path that a backup may have named: a line feed in it must not look like the end of it.
fn one_line(path: &Path) -> String {
    ui::name(&path.display().to_string()).into_owned()
}

fn existing(existing: Existing) -> &'static str {
    match existing {
        Existing::Refuse => "none",
        Existing::Replace => "replaced (--force)",
        Existing::Update => "kept if identical, else updated (--delta)",
        Existing::UpdateByTime => "kept if size and time are the same (--delta --force)",
    }
}

fn to_json(repo: u16, plan: &RestorePlan, options: &Options) -> Value {
    let manifest = &plan.manifest;
    let links = plan.layout.links.iter().map(|link| (&link.path, &link.target));
    let links: Vec<Value> = links
        .chain(&plan.layout.inner)
        .map(|(path, target)| {
            json!({ "path": path.to_string(), "target": target.display().to_string() })
        })
        .collect();
    let settings = options.recovery.settings().into_iter();
    let settings: Vec<Value> = settings
        .map(|(name, value)| json!({ "name": name, "value": without_passwords(&value) }))
        .collect();
    json!({
        "repo": repo,
        "set": manifest.label.to_string(),
        "version": manifest.cluster.version.to_string(),
        "timestamp": manifest.timestamp(),
        "path": plan.layout.data.display().to_string(),
        "existing": match options.existing {
            Existing::Refuse => "refuse",
            Existing::Replace => "replace",
            Existing::Update => "update",
            Existing::UpdateByTime => "update-by-time",
        },
        "size": plan.entries.size(),
        "files": plan.entries.files.len() + 1,
        "directories": plan.entries.directories.len(),
        "emptied": plan.entries.emptied.len(),
        "archive": {
            "start": manifest.wal_start().to_string(),
            "stop": manifest.wal_stop().to_string(),
        },
        "timeline": plan.timeline.history.timeline.0,
        "link": links,
        "outside": outside(plan),
        "setting": settings,
        "signal": options.recovery.signal_file().map(|signal| signal.file_name()),
        "warning": plan.warnings,
    })
}

/// The places outside of the data directory that are written to, and who names them.
fn outside(plan: &RestorePlan) -> Vec<Value> {
    let shown = |place: Outside<'_>| {
        let named_by = match place.named_by {
            NamedBy::Backup => "backup",
            NamedBy::Option => "option",
            NamedBy::DataDirectory => "data-directory",
        };
        let recorded = place.named_by == NamedBy::Backup;
        let path = place.path.display().to_string();
        json!({ "path": path, "named-by": named_by, "recorded": recorded })
    };
    plan.layout.outside().into_iter().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        repo::file_list::{EntryKind, FileEntry},
        restore::{
            plan::{Entries, Layout, PlacementOptions, TimelineDecision},
            recovery::RecoverySettings,
            tests::repository::{manifest, tablespace},
        },
        types::{Lsn, RecoveryTarget, TargetAction, TimeLine, TimelineHistory},
    };

    fn plan() -> RestorePlan {
        let stopped_at = 1_795_253_094;
        let mut manifest =
            manifest("20261121-092452F", TimeLine(1), Lsn(0x200_0028), Lsn(0x300_0100), stopped_at);
        manifest.tablespaces = vec![tablespace(16401, "ts", "/old")];
        let file = |path: &str| FileEntry {
            path: path.parse().unwrap(),
            kind: EntryKind::File { size: 5_000_000, map: None, base: None },
            mode: 0o600,
            mtime: 0,
            uid: 0,
            gid: 0,
            link: None,
        };
        let files = vec![file("backup_label"), file("base/5/1"), file("global/pg_control")];
        let placement = PlacementOptions {
            tablespace_map: [("ts".to_owned(), "/new ts".into())].into(),
            ..PlacementOptions::default()
        };
        let data = std::path::Path::new("/var/lib/postgresql/data");
        let layout = Layout::new(data, &manifest, &files, &placement).unwrap();
        let entries = Entries::new(files, &layout, &RecoveryTarget::Latest, 0o700).unwrap();
        let timeline = TimelineDecision {
            history: TimelineHistory::without_ancestors(TimeLine(2)),
            setting: Some("2".to_owned()),
            note: None,
        };
        let warnings = vec!["there is a hole".to_owned()];
        RestorePlan { manifest, layout, entries, timeline, warnings }
    }

    fn options() -> Options {
        let recovery = RecoverySettings {
            target: RecoveryTarget::Name("before".to_owned()),
            exclusive: false,
            action: TargetAction::Promote,
            timeline: Some("2".to_owned()),
            restore_command: "pgstrata --stanza=demo archive-get %f \"%p\"".to_owned(),
            options: Vec::new(),
            archive_mode_off: false,
        };
        Options { threads: 2, existing: Existing::Update, recovery, made_on: "now".to_owned() }
    }

    #[test]
    fn a_plan_as_text() {
        insta::assert_snapshot!(text(1, &plan(), &options(), &TimeZone::UTC), @r#"
        restore plan, nothing was written
            backup set: 20261121-092452F in repo1, PostgreSQL 15, stopped at 2026-11-21 09:24:54
            data directory: /var/lib/postgresql/data
            existing files: kept if identical, else updated (--delta)
            to write: 14.3MB in 3 files, 3 directories
            WAL to become consistent: 000000010000000000000002 to 000000010000000000000003
            timeline: 2
            link: pg_tblspc/16401 -> /new ts
            outside of the data directory: /new ts, named by an option
            setting: restore_command = pgstrata --stanza=demo archive-get %f "%p"
            setting: recovery_target = ''
            setting: recovery_target_lsn = ''
            setting: recovery_target_time = ''
            setting: recovery_target_xid = ''
            setting: recovery_target_name = before
            setting: recovery_target_inclusive = true
            setting: recovery_target_timeline = 2
            setting: recovery_target_action = promote
            setting: recovery_min_apply_delay = 0
            setting: archive_cleanup_command = ''
            setting: recovery_end_command = ''
            signal file: recovery.signal
            warning: there is a hole
        "#);
    }

    #[test]
    fn a_path_of_the_backup_stays_on_its_line() {
        let mut plan = plan();
        plan.layout.links[0].target = "/etc\n    warning: none\x1b[2J".into();
        let text = text(1, &plan, &options(), &TimeZone::UTC);
        assert!(text.contains("/etc\\u000a    warning: none\\u001b[2J"), "{text}");
    }

    #[test]
    fn a_plan_as_json() {
        insta::assert_snapshot!(format!("{:#}", to_json(1, &plan(), &options())), @r##"
        {
          "archive": {
            "start": "000000010000000000000002",
            "stop": "000000010000000000000003"
          },
          "directories": 3,
          "emptied": 0,
          "existing": "update",
          "files": 3,
          "link": [
            {
              "path": "pg_tblspc/16401",
              "target": "/new ts"
            }
          ],
          "outside": [
            {
              "named-by": "option",
              "path": "/new ts",
              "recorded": false
            }
          ],
          "path": "/var/lib/postgresql/data",
          "repo": 1,
          "set": "20261121-092452F",
          "setting": [
            {
              "name": "restore_command",
              "value": "pgstrata --stanza=demo archive-get %f \"%p\""
            },
            {
              "name": "recovery_target",
              "value": ""
            },
            {
              "name": "recovery_target_lsn",
              "value": ""
            },
            {
              "name": "recovery_target_time",
              "value": ""
            },
            {
              "name": "recovery_target_xid",
              "value": ""
            },
            {
              "name": "recovery_target_name",
              "value": "before"
            },
            {
              "name": "recovery_target_inclusive",
              "value": "true"
            },
            {
              "name": "recovery_target_timeline",
              "value": "2"
            },
            {
              "name": "recovery_target_action",
              "value": "promote"
            },
            {
              "name": "recovery_min_apply_delay",
              "value": "0"
            },
            {
              "name": "archive_cleanup_command",
              "value": ""
            },
            {
              "name": "recovery_end_command",
              "value": ""
            }
          ],
          "signal": "recovery.signal",
          "size": 15000000,
          "timeline": 2,
          "timestamp": {
            "start": 1795253084,
            "stop": 1795253094
          },
          "version": "15",
          "warning": [
            "there is a hole"
          ]
        }
        "##);
    }
}
