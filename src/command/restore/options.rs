//! What the configuration says about a restore, as the engine takes it.

use std::{
    env,
    path::{Path, PathBuf},
};

use jiff::tz::TimeZone;

use super::{Error, Result, context};
use crate::{
    config::{ArchiveMode, Config},
    restore::{
        Request,
        execute::Existing,
        plan::{DatabaseChoice, PlacementOptions, RestorePlan, names_time_zone, parse_target_time},
        recovery::{RecoverySettings, restore_command},
    },
    types::{StanzaName, TargetTime},
};

/// Where to restore to.
pub(super) fn data_directory(config: &Config) -> Result<PathBuf> {
    let missing = || Error::OptionRequired { command: "restore", option: "pg1-path".to_owned() };
    context::pg(config)?.path.clone().ok_or_else(missing)
}

/// Which databases are to be restored.
pub(super) fn databases(config: &Config) -> DatabaseChoice {
    let asked = &config.restore;
    DatabaseChoice { include: asked.db_include.clone(), exclude: asked.db_exclude.clone() }
}

/// What is to be restored.
pub(super) fn request(config: &Config, stanza: &StanzaName, zone: &TimeZone) -> Result<Request> {
    Ok(Request {
        stanza: stanza.clone(),
        set: config.set.clone(),
        target: config.restore.target.clone().try_map_time(|text| time(&text, zone))?,
        timeline: config.restore.target_timeline,
    })
}

/// The moment that the text of a time target names, which the log says.
fn time(text: &str, zone: &TimeZone) -> Result<TargetTime> {
    let time = TargetTime(parse_target_time(text, zone)?);
    match names_time_zone(text) {
        true => tracing::info!("target time '{text}' is {time}"),
        false => {
            let zone = zone.iana_name().unwrap_or("the local time zone");
            tracing::info!("target time '{text}' without a time zone is {time} (in {zone})");
        }
    }
    Ok(time)
}

/// Where tablespaces and links go.
pub(super) fn placement(config: &Config) -> PlacementOptions {
    let asked = &config.restore;
    PlacementOptions {
        tablespace_map: asked.tablespace_map.clone(),
        tablespace_map_all: asked.tablespace_map_all.clone(),
        link_map: asked.link_map.clone(),
        link_all: asked.link_all,
        ..PlacementOptions::default()
    }
}

/// What may be done with files that are in the way.
pub(super) fn existing(config: &Config) -> Existing {
    match (config.delta, config.force) {
        (true, true) => Existing::UpdateByTime,
        (true, false) => Existing::Update,
        (false, true) => Existing::Replace,
        (false, false) => Existing::Refuse,
    }
}

/// What recovery is told. Of several repositories it reads only `only_repo`.
pub(super) fn recovery(
    config: &Config,
    request: &Request,
    plan: &RestorePlan,
    only_repo: Option<u16>,
) -> Result<RecoverySettings> {
    let asked = &config.restore;
    let repo = only_repo.map(|key| format!("--repo={key}"));
    let stanza = format!("--stanza={}", request.stanza);
    let words = config.carried_options.iter().cloned().chain(repo).chain([stanza]);
    let words: Vec<String> = words.collect();
    Ok(RecoverySettings {
        target: request.target.clone(),
        exclusive: asked.target_exclusive,
        action: asked.target_action,
        timeline: plan.timeline.setting.clone(),
        restore_command: restore_command(&program(&config.program.invoked)?, &words),
        options: asked.recovery_options.clone(),
        archive_mode_off: asked.archive_mode == ArchiveMode::Off,
    })
}

/// The absolute path of this program under the name it was started by, which decides where it looks
/// for its configuration; so a link's name is kept.
fn program(invoked: &str) -> Result<String> {
    let invoked = Path::new(invoked);
    let found = match invoked.components().count() {
        // The shell found it on the path.
        0 | 1 => on_the_path(invoked),
        _ => std::path::absolute(invoked).ok(),
    };
    let program = match found {
        Some(path) => path,
        None => env::current_exe()?,
    };
    let text = program.to_str().map(str::to_owned);
    text.ok_or_else(|| {
        Error::NotSupported(format!("a program path that is not UTF-8: {program:?}"))
    })
}

fn on_the_path(name: &Path) -> Option<PathBuf> {
    let directories = env::var_os("PATH")?;
    env::split_paths(&directories)
        .map(|directory| directory.join(name))
        .find(|path| path.is_absolute() && path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_named_absolutely_and_by_the_name_it_was_started_by() {
        assert_eq!(program("/usr/bin/pgbackrest").unwrap(), "/usr/bin/pgbackrest");
        let relative = program("./pgstrata").unwrap();
        assert!(relative.starts_with('/') && relative.ends_with("/pgstrata"), "{relative}");
        assert!(program("sh").unwrap().ends_with("/sh"));
        let own = env::current_exe().unwrap();
        assert_eq!(program("no such program anywhere").unwrap(), own.to_str().unwrap());
    }
}
