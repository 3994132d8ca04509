//! What `--dry-run` shows: the plan, as text or JSON.

use std::io::Write;

use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};

use super::{Repo, Result};
use crate::{
    config::OutputFormat,
    restore::{
        execute::{Existing, Options},
        plan::RestorePlan,
    },
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
            "    WAL to become consistent: {} to {}, in the archive",
            manifest.wal_start(),
            manifest.wal_stop()
        ),
        format!("    timeline: {}", plan.timeline.history.timeline),
    ];
    for link in &plan.layout.links {
        lines.push(format!("    link: {} -> {}", link.path, link.target.display()));
    }
    for (name, value) in options.recovery.settings() {
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

fn existing(existing: Existing) -> &'static str {
    match existing {
        Existing::Refuse => "none",
        Existing::Replace => "replaced (--force)",
        Existing::Update => {
            "kept where they are as they must be, else brought up to date (--delta)"
        }
    }
}

fn to_json(repo: u16, plan: &RestorePlan, options: &Options) -> Value {
    let manifest = &plan.manifest;
    let links = plan.layout.links.iter();
    let links: Vec<Value> = links
        .map(|link| {
            json!({ "path": link.path.to_string(), "target": link.target.display().to_string() })
        })
        .collect();
    let settings = options.recovery.settings().into_iter();
    let settings: Vec<Value> =
        settings.map(|(name, value)| json!({ "name": name, "value": value })).collect();
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
        },
        "size": plan.entries.size(),
        "files": plan.entries.files.len() + 1,
        "directories": plan.entries.directories.len(),
        "archive": {
            "start": manifest.wal_start().to_string(),
            "stop": manifest.wal_stop().to_string(),
        },
        "timeline": plan.timeline.history.timeline.0,
        "link": links,
        "setting": settings,
        "signal": options.recovery.signal_file().map(|signal| signal.file_name()),
        "warning": plan.warnings,
    })
}
