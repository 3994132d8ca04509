//! Restore: the target above all, which can be said in two ways.

use std::path::PathBuf;

use crate::{
    config::{commands::Commands, error::Error, settings::Settings, typed::*},
    types::TimeLine,
};

const SHORTHANDS: [&str; 5] =
    ["target-immediate", "target-lsn", "target-name", "target-time", "target-xid"];

pub(super) fn restore(s: &Settings) -> Result<RestoreConfig, Error> {
    let target = target(s)?;
    check_target_options(s, &target)?;
    let paths = |pairs: Vec<(String, String)>| {
        pairs.into_iter().map(|(key, path)| (key, PathBuf::from(path))).collect()
    };
    Ok(RestoreConfig {
        target,
        target_exclusive: s.boolean("target-exclusive")?,
        target_action: target_action(s)?,
        target_timeline: target_timeline(s)?,
        tablespace_map: paths(absolute(s, "tablespace-map")?),
        tablespace_map_all: tablespace_map_all(s)?,
        link_map: paths(s.hash("link-map")?),
        link_all: s.boolean("link-all")?,
        recovery_options: recovery_options(s)?,
        archive_mode_off: s.word("archive-mode")? == "off",
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
        _ => pointed(s, name, &name["target-".len()..]),
    }
}

fn long_target(s: &Settings) -> Result<RestoreTarget, Error> {
    let kind = s.word("type")?;
    let pointed_at = matches!(kind.as_str(), "lsn" | "name" | "time" | "xid");
    match (pointed_at, s.is_set("target", 0)) {
        (true, true) => return pointed(s, "target", &kind),
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
fn pointed(s: &Settings, name: &'static str, kind: &str) -> Result<RestoreTarget, Error> {
    let text = s.text(name, 0)?.unwrap_or_default();
    let invalid = |hint: &str| s.invalid(name, 0, "is not valid", Some(hint.into()));
    match kind {
        "lsn" => text
            .parse()
            .map(RestoreTarget::Lsn)
            .map_err(|_| invalid("a WAL position looks like 0/1A2B3C4D.")),
        "xid" if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(RestoreTarget::Xid(text)),
        "xid" => Err(invalid("a transaction id is a number.")),
        "name" if text.len() > 63 => Err(invalid("a restore point has at most 63 bytes.")),
        "name" => Ok(RestoreTarget::Name(text)),
        _ => Ok(RestoreTarget::Time(text)),
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
    let number = match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    };
    match (text.as_str(), number) {
        ("latest", _) => Ok(TargetTimeline::Latest),
        ("current", _) => Ok(TargetTimeline::Current),
        (_, Some(number)) if number > 0 => Ok(TargetTimeline::Number(TimeLine(number))),
        _ => {
            let hint = "it must be latest, current or the number of a timeline.";
            Err(s.invalid("target-timeline", 0, "is not valid", Some(hint.into())))
        }
    }
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

/// The settings of `recovery-option`, with the underscores PostgreSQL writes.
fn recovery_options(s: &Settings) -> Result<Vec<(String, String)>, Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let pairs: Vec<_> = s
        .hash("recovery-option")?
        .into_iter()
        .map(|(key, value)| (key.replace('-', "_"), value))
        .collect();
    match pairs.iter().find(|(key, value)| !key.chars().all(plain) || value.contains('\n')) {
        None => Ok(pairs),
        Some((key, _)) => {
            let hint = format!("'{}' is not a setting of PostgreSQL.", key.escape_debug());
            Err(s.invalid("recovery-option", 0, "is not valid", Some(hint)))
        }
    }
}
