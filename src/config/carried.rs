//! Options written back as a command line: for a later call of this program, and for the log.

use std::path::Path;

use super::{
    commands::Commands,
    layers::Source,
    settings::{Setting, Settings},
    spec::Kind,
};
use crate::types::without_passwords;

/// What is about one call, and not about where things are.
const OF_ONE_CALL: [&str; 13] = [
    "config-include-path",
    "help",
    "log-format",
    "log-level-console",
    "log-level-file",
    "log-level-stderr",
    "log-timestamp",
    "output",
    "process-max",
    "repo",
    "stanza",
    "version",
    "config",
];

/// The options that the command line or the environment of this call set, and that archive-get
/// takes: a later call by the server has neither. Never a secret.
pub(super) fn carried(s: &Settings) -> Vec<String> {
    let mut options = config_files(s);
    for setting in s.set.values() {
        let spec = setting.option.spec;
        let here = !matches!(setting.source, Source::File(_));
        let wanted =
            spec.commands.meets(Commands::ARCHIVE_GET) && !OF_ONE_CALL.contains(&spec.name);
        if here && wanted && !spec.secret {
            options.extend(texts(setting));
        }
    }
    for option in &s.reset {
        let spec = option.spec;
        if spec.commands.meets(Commands::ARCHIVE_GET) && !OF_ONE_CALL.contains(&spec.name) {
            options.push(format!("--reset-{}", option.name()));
        }
    }
    options
}

/// Where the configuration is, as paths that do not depend on the working directory.
fn config_files(s: &Settings) -> Vec<String> {
    let mut options = Vec::new();
    for name in ["config", "config-include-path"] {
        let Some(text) = s.set.get(&(name, 0)).and_then(|setting| setting.texts.first()) else {
            continue;
        };
        if name == "config" && text == "n" {
            options.push("--no-config".into());
            continue;
        }
        let path = std::path::absolute(Path::new(text)).unwrap_or_else(|_| text.into());
        options.push(format!("--{name}={}", path.display()));
    }
    options
}

/// Every option that is set, as the log shows it when a command begins.
pub(super) fn shown(s: &Settings) -> Vec<String> {
    s.set
        .values()
        .flat_map(|setting| match setting.option.spec.secret {
            true => vec![format!("--{}=<redacted>", setting.option.name())],
            false => texts(setting),
        })
        // A recovery-option may hold the password of a connection.
        .map(|text| without_passwords(&text).into_owned())
        .collect()
}

fn texts(setting: &Setting) -> Vec<String> {
    let name = setting.option.name();
    match (setting.option.spec.kind, setting.texts.first().map(String::as_str)) {
        (Kind::Boolean, Some("n")) => vec![format!("--no-{name}")],
        (Kind::Boolean, _) => vec![format!("--{name}")],
        _ => setting.texts.iter().map(|text| format!("--{name}={text}")).collect(),
    }
}
