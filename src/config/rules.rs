//! Rules across options: what a command needs, and what is refused or ignored.

use std::collections::BTreeMap;

use super::{
    commands::{Commands, StanzaUse},
    error::Error,
    settings::Settings,
    spec::Support,
    table::{PgConfig, RepoConfig},
    value::Value,
};

/// The words after the command: enough of them, and none too many.
pub(super) fn check_arguments(s: &Settings, arguments: &[String]) -> Result<(), Error> {
    let command = s.command.word;
    let known = s.command.arguments;
    if let Some(extra) = arguments.get(known.len()) {
        return Err(Error::ParameterInvalid {
            command,
            parameter: extra.escape_debug().to_string(),
            hint: None,
        });
    }
    match known.iter().skip(arguments.len()).find(|(_, required)| *required) {
        Some((parameter, _)) => Err(Error::ParameterRequired { command, parameter }),
        None => Ok(()),
    }
}

/// Options that cannot be ignored and are not done either.
pub(super) fn check_refused(s: &Settings) -> Result<(), Error> {
    for setting in s.set.values() {
        if let Support::Refused(reason) = setting.option.spec.support
            && s.differs_from_default(setting)?
        {
            let name = setting.option.name();
            let option = match setting.value {
                Value::Boolean(false) => format!("--no-{name}"),
                _ => format!("option '{name}'"),
            };
            return Err(Error::OptionUnsupported { option, reason: reason.into() });
        }
    }
    Ok(())
}

/// A stanza where one is needed, and a backup only within a stanza.
pub(super) fn check_stanza(s: &Settings) -> Result<(), Error> {
    let set = s.is_set("stanza", 0);
    if s.command.stanza == StanzaUse::Required && !set {
        return Err(required(s, "stanza", None));
    }
    if s.command.set == Commands::INFO && s.is_set("set", 0) && !set {
        return Err(Error::OptionNeeds { option: "set".into(), other: "'stanza'".into() });
    }
    if s.command.set == Commands::KEEP && !s.is_set("set", 0) {
        return Err(required(s, "set", None));
    }
    if s.command.set == Commands::ANNOTATE {
        for option in ["set", "annotation"] {
            if !s.is_set(option, 0) {
                return Err(required(s, option, None));
            }
        }
    }
    Ok(())
}

fn required(s: &Settings, option: &str, hint: Option<&str>) -> Error {
    Error::OptionRequired {
        command: s.command.word,
        option: option.into(),
        hint: hint.map(str::to_owned),
    }
}

/// `--repo` must name a configured repository, and a command that works on one of several needs it.
pub(super) fn check_repo_choice(
    s: &Settings,
    repos: &BTreeMap<u16, RepoConfig>,
) -> Result<(), Error> {
    let on_one =
        Commands::STANZA_DELETE.or(Commands::REPO_GET).or(Commands::REPO_KEY).or(Commands::REPO_LS);
    match s.integer::<u16>("repo", 0)? {
        Some(key) if !repos.contains_key(&key) => {
            let keys = repos.keys().map(u16::to_string).collect::<Vec<_>>().join(", ");
            Err(s.invalid("repo", 0, "is not valid", Some(format!("configured: {keys}."))))
        }
        None if repos.len() > 1 && s.command.set.meets(on_one) => {
            let hint = "this command works on one repository: add --repo=N.";
            Err(required(s, "repo", Some(hint)))
        }
        _ => Ok(()),
    }
}

/// A cluster to work on, where the command works on one.
pub(super) fn check_clusters(s: &Settings, pgs: &BTreeMap<u16, PgConfig>) -> Result<(), Error> {
    let exists = "does this stanza exist?";
    let has_path = pgs.values().any(|pg| pg.path.is_some());
    let reached =
        |pg: &PgConfig| pg.path.is_some() || pg.host.is_some() || pg.socket_path.is_some();
    let connects = Commands::CONNECT.without(Commands::STANZA_DELETE);
    if s.command.set == Commands::RESTORE && !has_path {
        return Err(required(s, "pg1-path", Some(exists)));
    }
    if s.command.set.meets(connects) && !pgs.values().any(reached) {
        let hint = "set pg1-path, pg1-host or pg1-socket-path to reach the cluster.\n";
        return Err(required(s, "pg1-path", Some(&format!("{hint}{exists}"))));
    }
    Ok(())
}

/// A line for each option that is ignored; a single line for the commands that run once a WAL segment, whose messages
/// fill the server's log.
pub(super) fn ignored_options(s: &Settings) -> Result<Vec<String>, Error> {
    let found = s.without_effect()?;
    if found.len() > 1 && s.command.set.meets(Commands::ARCHIVE) {
        let names = found.iter().map(|(name, _)| format!("'{name}'")).collect::<Vec<_>>();
        return Ok(vec![format!("options are ignored: {}", names.join(", "))]);
    }
    let line = |(name, reason): (String, &str)| format!("option '{name}' is ignored: {reason}");
    Ok(found.into_iter().map(line).collect())
}
