//! Settings of `recovery-option` that restore has options for. They count as that option, so that the plan fits what
//! PostgreSQL will do. An option on the command line overrides a setting in a configuration file; both in one place
//! are an error.

use super::{ArchiveMode, SHORTHANDS, parse_target};
use crate::{
    config::{error::Error, layers::Source, settings::Settings},
    types::{RecoveryTarget, TargetAction, TargetKind, TargetTimeline},
};

const OPTION: &str = "recovery-option";

const TARGETS: [(&str, TargetKind); 5] = [
    ("recovery_target", TargetKind::Immediate),
    ("recovery_target_lsn", TargetKind::Lsn),
    ("recovery_target_name", TargetKind::Name),
    ("recovery_target_time", TargetKind::Time),
    ("recovery_target_xid", TargetKind::Xid),
];

/// The settings of `recovery-option`.
#[derive(Default)]
pub(super) struct RecoveryOptions {
    pub(super) target: Option<RecoveryTarget<String>>,
    pub(super) exclusive: Option<bool>,
    pub(super) action: Option<TargetAction>,
    pub(super) timeline: Option<TargetTimeline>,
    pub(super) archive_mode: Option<ArchiveMode>,
    /// The settings that restore has no option for, with the names PostgreSQL writes.
    pub(super) settings: Vec<(String, String)>,
}

/// Sorts the settings out. `warnings` gets a line for each one that does not apply.
pub(super) fn recovery_options(
    s: &Settings,
    warnings: &mut Vec<String>,
) -> Result<RecoveryOptions, Error> {
    let mut found = RecoveryOptions::default();
    let mut target_of: Option<String> = None;
    for (name, value) in pairs(s)? {
        let rival = rival(s, &name)?;
        if let Some(option) = rival {
            if !agrees(s, &name, &value)? {
                overruled(s, &name, &value, option, warnings)?;
            }
        } else if let Some((_, kind)) = TARGETS.iter().find(|(target, _)| *target == name) {
            if value.is_empty() {
                continue;
            }
            if let Some(other) = target_of.replace(name.clone()) {
                return Err(conflict(&name, format!("{OPTION}={other}")));
            }
            found.target = Some(target(&name, *kind, &value)?);
        } else {
            found.add(name, value)?;
        }
    }
    Ok(found)
}

impl RecoveryOptions {
    fn add(&mut self, name: String, value: String) -> Result<(), Error> {
        match name.as_str() {
            "recovery_target_inclusive" => {
                let hint = "recovery_target_inclusive is on or off.";
                let inclusive = boolean(&value).ok_or_else(|| invalid(hint))?;
                self.exclusive = Some(!inclusive);
            }
            "recovery_target_action" => {
                let hint = "recovery_target_action is pause, promote or shutdown.";
                let action = value.to_ascii_lowercase().parse().map_err(|_| invalid(hint))?;
                self.action = Some(action);
            }
            "recovery_target_timeline" => {
                let hint =
                    "recovery_target_timeline is latest, current or the number of a timeline.";
                self.timeline = Some(value.parse().map_err(|_| invalid(hint))?);
            }
            "archive_mode" if boolean(&value) == Some(false) => {
                self.archive_mode = Some(ArchiveMode::Off);
            }
            _ => self.settings.push((name, value)),
        }
        Ok(())
    }
}

/// Name and value of each setting; the names as PostgreSQL writes them, which knows no case.
fn pairs(s: &Settings) -> Result<Vec<(String, String)>, Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let mut pairs: Vec<(String, String)> = Vec::new();
    for (key, value) in s.hash(OPTION)? {
        let name = key.replace('-', "_").to_ascii_lowercase();
        if !name.chars().all(plain) || value.contains('\n') {
            return Err(invalid(&format!(
                "'{}' is not a setting of PostgreSQL.",
                key.escape_debug()
            )));
        }
        match pairs.iter().find(|(known, _)| *known == name) {
            Some((_, other)) if *other != value => {
                return Err(invalid(&format!("'{name}' is set twice.")));
            }
            Some(_) => {}
            None => pairs.push((name, value)),
        }
    }
    Ok(pairs)
}

/// The option that says the same as a setting, where it was given.
fn rival(s: &Settings, setting: &str) -> Result<Option<&'static str>, Error> {
    let given = |name: &'static str| s.is_set(name, 0).then_some(name);
    Ok(match setting {
        "recovery_target_inclusive" => given("target-exclusive"),
        "recovery_target_action" => given("target-action"),
        // Without target-timeline, an immediate target means the timeline of the backup.
        "recovery_target_timeline" => match (given("target-timeline"), given("type")) {
            (None, Some(option)) if s.word::<TargetKind>("type")? == TargetKind::Immediate => {
                Some(option)
            }
            (None, _) if s.boolean("target-immediate")? => Some("target-immediate"),
            (option, _) => option,
        },
        "archive_mode" => given("archive-mode"),
        _ if TARGETS.iter().any(|(target, _)| *target == setting) => {
            let mut short = SHORTHANDS.iter().map(|short| short.option);
            short.find(|name| s.is_set(name, 0)).or(given("target")).or(given("type"))
        }
        _ => None,
    })
}

/// Whether a setting says what its option says.
fn agrees(s: &Settings, setting: &str, value: &str) -> Result<bool, Error> {
    Ok(match setting {
        "archive_mode" => {
            s.word::<ArchiveMode>("archive-mode")? == ArchiveMode::Off
                && boolean(value) == Some(false)
        }
        _ => TARGETS.iter().any(|(target, _)| *target == setting) && value.is_empty(),
    })
}

/// An option was given beside the setting: it wins if it stands in a layer above.
fn overruled(
    s: &Settings,
    name: &str,
    value: &str,
    option: &'static str,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    let layer = |name: &'static str| match s.set.get(&(name, 0)).map(|set| &set.source) {
        Some(Source::CommandLine) => 2,
        Some(Source::Environment(_)) => 1,
        _ => 0,
    };
    if layer(option) <= layer(OPTION) {
        return Err(conflict(name, option.to_owned()));
    }
    let value = value.escape_debug();
    warnings.push(format!("{OPTION} {name}={value} is ignored: option '{option}' is set"));
    Ok(())
}

fn conflict(setting: &str, other: String) -> Error {
    Error::OptionConflict {
        option: format!("{OPTION}={setting}"),
        other,
        hint: "both set the same recovery setting: remove one of them.",
    }
}

fn target(name: &str, kind: TargetKind, value: &str) -> Result<RecoveryTarget<String>, Error> {
    if kind == TargetKind::Immediate && value != "immediate" {
        return Err(invalid("the only value of recovery_target is immediate."));
    }
    parse_target(kind, value).map_err(|hint| invalid(&format!("{name}: {hint}")))
}

/// The value is not shown: it may be the password of a `primary_conninfo`.
fn invalid(hint: &str) -> Error {
    Error::OptionValue {
        option: OPTION.to_owned(),
        value: "the value".to_owned(),
        problem: "is not valid".to_owned(),
        place: String::new(),
        hint: Some(hint.to_owned()),
    }
}

/// A truth value as PostgreSQL reads it (`parse_bool` in bool.c).
fn boolean(text: &str) -> Option<bool> {
    let text = text.trim().to_ascii_lowercase();
    let short_for = |word: &str, least: usize| text.len() >= least && word.starts_with(&text);
    if short_for("true", 1) || short_for("yes", 1) || short_for("on", 2) || text == "1" {
        return Some(true);
    }
    let off = short_for("false", 1) || short_for("no", 1) || short_for("off", 2) || text == "0";
    off.then_some(false)
}
