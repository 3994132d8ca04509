//! Restore: the target above all, which can be said in two ways.

use std::path::PathBuf;

use super::{
    recovery_options::recovery_options,
    target::{SHORTHANDS, pointed, timeline_from},
};
use crate::config::{
    commands::Commands, error::Error, layers::Source, settings::Settings, typed::*,
};

pub(super) fn restore(s: &Settings, warnings: &mut Vec<String>) -> Result<RestoreConfig, Error> {
    let given = recovery_options(s, warnings)?;
    let target = given.target.clone().map_or_else(|| target(s), Ok)?;
    check_target_options(s, &target)?;
    check_recovery_options(s, &target, warnings)?;
    let paths = |pairs: Vec<(String, String)>| {
        pairs.into_iter().map(|(key, path)| (key, PathBuf::from(path))).collect()
    };
    Ok(RestoreConfig {
        target,
        target_exclusive: given.exclusive.map_or_else(|| s.boolean("target-exclusive"), Ok)?,
        target_action: given.action.map_or_else(|| target_action(s), Ok)?,
        target_timeline: given.timeline.map_or_else(|| target_timeline(s), Ok)?,
        tablespace_map: paths(absolute(s, "tablespace-map")?),
        tablespace_map_all: tablespace_map_all(s)?,
        link_map: paths(s.hash("link-map")?),
        link_all: s.boolean("link-all")?,
        recovery_options: given.settings,
        archive_mode_off: given.archive_mode_off || s.word("archive-mode")? == "off",
        db_include: s.list("db-include")?,
        db_exclude: s.list("db-exclude")?,
    })
}

fn target(s: &Settings) -> Result<RestoreTarget, Error> {
    if s.command.set != Commands::RESTORE {
        return Ok(RestoreTarget::Latest);
    }
    let mut given = Vec::new();
    for name in SHORTHANDS {
        let counts = name != "target-immediate" || s.boolean(name)?;
        if s.is_set(name, 0) && counts {
            given.push(name);
        }
    }
    match given[..] {
        [] => long_target(s),
        [name] => short_target(s, name),
        [name, other, ..] => Err(conflict(name, other)),
    }
}

fn conflict(option: &str, other: &str) -> Error {
    Error::OptionConflict {
        option: option.into(),
        other: other.into(),
        hint: "there is one recovery target: use --type and --target, or one of --target-time, \
               --target-lsn, --target-name, --target-xid and --target-immediate.",
    }
}

fn short_target(s: &Settings, name: &'static str) -> Result<RestoreTarget, Error> {
    for other in ["type", "target"] {
        if s.is_set(other, 0) {
            return Err(conflict(name, other));
        }
    }
    match name {
        "target-immediate" => Ok(RestoreTarget::Immediate),
        _ => pointed_by(s, name, &name["target-".len()..]),
    }
}

fn long_target(s: &Settings) -> Result<RestoreTarget, Error> {
    let kind = s.word("type")?;
    let pointed_at = matches!(kind.as_str(), "lsn" | "name" | "time" | "xid");
    match (pointed_at, s.is_set("target", 0)) {
        (true, true) => return pointed_by(s, "target", &kind),
        (true, false) => {
            return Err(Error::OptionRequired {
                command: s.command.word,
                option: "target".into(),
                hint: Some(format!("type '{kind}' needs a target.")),
            });
        }
        (false, true) => return Err(needs_type("target", &["lsn", "name", "time", "xid"])),
        (false, false) => {}
    }
    Ok(match kind.as_str() {
        "immediate" => RestoreTarget::Immediate,
        "standby" => RestoreTarget::Standby,
        "preserve" => RestoreTarget::Preserve,
        "none" => RestoreTarget::None,
        _ => RestoreTarget::Latest,
    })
}

/// The target of a kind from the text of the option `name`.
fn pointed_by(s: &Settings, name: &'static str, kind: &str) -> Result<RestoreTarget, Error> {
    let text = s.text(name, 0)?.unwrap_or_default();
    pointed(kind, &text).map_err(|hint| s.invalid(name, 0, "is not valid", Some(hint.into())))
}

/// Without recovery settings there is nothing that `recovery-option` could add to.
fn check_recovery_options(
    s: &Settings,
    target: &RestoreTarget,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    let Some(setting) = s.set.get(&("recovery-option", 0)) else { return Ok(()) };
    match (target, &setting.source) {
        (RestoreTarget::Preserve | RestoreTarget::None, Source::CommandLine) => Err(needs_type(
            "recovery-option",
            &["default", "immediate", "lsn", "name", "standby", "time", "xid"],
        )),
        (RestoreTarget::Preserve | RestoreTarget::None, _) => {
            let kind = s.word("type")?;
            warnings.push(format!("option 'recovery-option' is ignored with type '{kind}'"));
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Options that say more about the target must have a target to say it about.
fn check_target_options(s: &Settings, target: &RestoreTarget) -> Result<(), Error> {
    use RestoreTarget::*;
    let exclusive = matches!(target, Lsn(_) | Time(_) | Xid(_));
    let action = exclusive || matches!(target, Immediate | Name(_));
    let timeline = !matches!(target, Preserve | None);
    if s.is_set("target-exclusive", 0) && !exclusive {
        return Err(needs_type("target-exclusive", &["lsn", "time", "xid"]));
    }
    if s.is_set("target-action", 0) && !action {
        return Err(needs_type("target-action", &["immediate", "lsn", "name", "time", "xid"]));
    }
    if s.is_set("target-timeline", 0) && !timeline {
        return Err(needs_type(
            "target-timeline",
            &["default", "immediate", "lsn", "name", "standby", "time", "xid"],
        ));
    }
    Ok(())
}

fn needs_type(option: &str, types: &[&str]) -> Error {
    let list = types.iter().map(|kind| format!("'{kind}'")).collect::<Vec<_>>().join(", ");
    Error::OptionNeeds { option: option.into(), other: format!("'type' in ({list})") }
}

fn target_action(s: &Settings) -> Result<TargetAction, Error> {
    Ok(match s.word("target-action")?.as_str() {
        "promote" => TargetAction::Promote,
        "shutdown" => TargetAction::Shutdown,
        _ => TargetAction::Pause,
    })
}

fn target_timeline(s: &Settings) -> Result<TargetTimeline, Error> {
    let Some(text) = s.text("target-timeline", 0)? else { return Ok(TargetTimeline::Default) };
    timeline_from(&text).ok_or_else(|| {
        let hint = "it must be latest, current or the number of a timeline.";
        s.invalid("target-timeline", 0, "is not valid", Some(hint.into()))
    })
}

/// The pairs of an option whose values are absolute paths.
fn absolute(s: &Settings, name: &'static str) -> Result<Vec<(String, String)>, Error> {
    let pairs = s.hash(name)?;
    match pairs.iter().find(|(_, path)| !path.starts_with('/')) {
        None => Ok(pairs),
        Some((key, _)) => {
            let hint = format!("the path of '{key}' must begin with /.");
            Err(s.invalid(name, 0, "is not valid", Some(hint)))
        }
    }
}

fn tablespace_map_all(s: &Settings) -> Result<Option<PathBuf>, Error> {
    match s.text("tablespace-map-all", 0)? {
        Some(path) if !path.starts_with('/') => {
            let hint = "the path must begin with /.";
            Err(s.invalid("tablespace-map-all", 0, "is not valid", Some(hint.into())))
        }
        path => Ok(path.map(PathBuf::from)),
    }
}
