//! The three layers of a configuration, command line over environment over files, laid over each
//! other: for each option the texts that hold, and where they come from.

use std::collections::BTreeMap;

use super::{
    commands::{CommandSpec, Commands},
    error::Error,
    files::ConfigFiles,
    flavor::Flavor,
    ini::Entry,
    spec::{Kind, OptionRef, Section},
    table,
};

/// What is asked of the program instead of a command's work. It is read on the command line only: container images set
/// variables such as `PGBACKREST_VERSION` to say what is in them.
const SWITCHES: [&str; 2] = ["help", "version"];

/// What the command line says about one option.
pub struct Given {
    /// The option.
    pub option: OptionRef,
    /// What to do with it.
    pub action: Action,
}

/// What the command line does with an option. It may hold a secret, so it has no `Debug`.
pub enum Action {
    /// `--name=value`, once for each time it stands there.
    Set(Vec<String>),
    /// `--no-name`
    Negate,
    /// `--reset-name`
    Reset,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    CommandLine,
    Environment(String),
    File(Vec<String>),
}

/// The texts of one option. They may hold a secret, so it has no `Debug`.
pub(super) struct Raw {
    pub(super) option: OptionRef,
    /// `None` after `--reset-…`: the default holds.
    pub(super) texts: Option<Vec<String>>,
    pub(super) source: Source,
}

/// The name of the row and the number.
pub(super) type Id = (&'static str, u16);

/// The options that hold for one run, and what was odd on the way.
pub(super) struct Layers {
    pub(super) command: &'static CommandSpec,
    pub(super) raws: BTreeMap<Id, Raw>,
    pub(super) warnings: Vec<String>,
}

impl Layers {
    pub(super) fn new(command: &'static CommandSpec) -> Self {
        Self { command, raws: BTreeMap::new(), warnings: Vec::new() }
    }

    /// Sets an option unless a layer above has done so.
    fn set(&mut self, option: OptionRef, texts: Option<Vec<String>>, source: Source) {
        let id = (option.spec.name, option.key);
        self.raws.entry(id).or_insert(Raw { option, texts, source });
    }

    /// The command line; anything that does not fit is an error.
    pub(super) fn add_command_line(
        &mut self,
        given: Vec<Given>,
        flavor: Flavor,
    ) -> Result<(), Error> {
        for Given { option, action } in given {
            self.check_given(option, &action, flavor)?;
            let texts = match action {
                Action::Set(texts) => Some(texts),
                Action::Negate => Some(vec!["n".to_owned()]),
                Action::Reset => None,
            };
            let id = (option.spec.name, option.key);
            if self.raws.contains_key(&id) {
                let problem = "cannot be set together with its --no- or --reset- form";
                return Err(Error::OptionForm { option: option.name(), problem });
            }
            self.set(option, texts, Source::CommandLine);
        }
        Ok(())
    }

    fn check_given(&self, option: OptionRef, action: &Action, flavor: Flavor) -> Result<(), Error> {
        let spec = option.spec;
        let name = || option.name();
        if !spec.commands.meets(self.command.set) {
            return Err(Error::OptionNotForCommand {
                option: name(),
                command: self.command.word,
                valid_for: spec.commands.words().collect(),
            });
        }
        match action {
            Action::Set(_) if spec.secret => Err(Error::SecretOnCommandLine {
                option: name(),
                variable: variable(option, flavor),
            }),
            Action::Set(texts) if texts.len() > 1 && !spec.kind.is_multiple() => {
                Err(Error::OptionRepeated { option: name(), places: Vec::new() })
            }
            _ => Ok(()),
        }
    }

    /// The environment; an unknown option is a warning. Switches of the command line are not options there.
    pub(super) fn add_environment(&mut self, variables: &[(String, String)], flavor: Flavor) {
        let mut found: Vec<_> = variables
            .iter()
            .filter_map(|(name, value)| {
                Some((name.strip_prefix(flavor.environment_prefix())?, name, value))
            })
            .collect();
        found.sort();
        for (tail, variable, value) in found {
            let name = tail.to_lowercase().replace('_', "-");
            if SWITCHES.contains(&name.as_str()) {
                continue;
            }
            let Some(option) = table::find(&name) else {
                self.warn_unknown("environment contains", &name, "");
                continue;
            };
            if !option.spec.commands.meets(self.command.set) {
                continue;
            }
            let texts = match option.spec.kind {
                Kind::List | Kind::Hash => value.split(':').map(str::to_owned).collect(),
                _ => vec![value.clone()],
            };
            self.set(option, Some(texts), Source::Environment(variable.clone()));
        }
    }

    /// The configuration files; what is not known or stands in the wrong section is a warning.
    pub(super) fn add_files(
        &mut self,
        entries: &[Entry],
        stanza: Option<&str>,
        files: &dyn ConfigFiles,
    ) -> Result<(), Error> {
        self.warn_sections(entries);
        self.warn_readable_secrets(entries, files);
        let word = self.command.word;
        let of_stanza = stanza.map(|name| (format!("{name}:{word}"), name.to_owned()));
        for (own, shared) in
            of_stanza.into_iter().chain([(format!("global:{word}"), "global".into())])
        {
            self.add_section(entries, &own, true)?;
            self.add_section(entries, &shared, false)?;
        }
        Ok(())
    }

    fn add_section(
        &mut self,
        entries: &[Entry],
        section: &str,
        of_command: bool,
    ) -> Result<(), Error> {
        let mut found: BTreeMap<Id, (OptionRef, Vec<&Entry>)> = BTreeMap::new();
        for entry in entries.iter().filter(|entry| entry.section == section) {
            if let Some(option) = self.usable(entry, of_command) {
                let id = (option.spec.name, option.key);
                found.entry(id).or_insert((option, Vec::new())).1.push(entry);
            }
        }
        for (option, entries) in found.into_values() {
            let places: Vec<_> = entries.iter().map(|entry| entry.place()).collect();
            if entries.len() > 1 && !option.spec.kind.is_multiple() {
                return Err(Error::OptionRepeated { option: option.name(), places });
            }
            let texts = entries.iter().map(|entry| entry.value.clone()).collect();
            self.set(option, Some(texts), Source::File(places));
        }
        Ok(())
    }

    /// The option of a line, if it may stand there and the command takes it.
    fn usable(&mut self, entry: &Entry, of_command: bool) -> Option<OptionRef> {
        let (key, section) = (&entry.key, &entry.section);
        let place = format!(" ({})", entry.place());
        let Some(option) = table::find(key) else {
            self.warn_unknown("configuration file contains", key, &place);
            return None;
        };
        let in_global = section.split(':').next() == Some("global");
        let complaint = match option.spec.section {
            Section::CommandLine => Some(format!("command-line only option '{key}'")),
            Section::Stanza if in_global => {
                Some(format!("stanza-only option '{key}' in global section '{section}'"))
            }
            _ if option.spec.commands.meets(self.command.set) => return Some(option),
            _ if of_command => Some(format!("option '{key}' invalid for section '{section}'")),
            _ => None,
        };
        if let Some(complaint) = complaint {
            self.warnings.push(format!("configuration file contains {complaint}{place}"));
        }
        None
    }

    fn warn_unknown(&mut self, where_: &str, name: &str, place: &str) {
        let form = ["no-", "reset-"].into_iter().find(|prefix| {
            name.strip_prefix(prefix).is_some_and(|rest| table::find(rest).is_some())
        });
        let text = match form {
            Some("no-") => format!("{where_} negate option '{name}'{place}"),
            Some(_) => format!("{where_} reset option '{name}'{place}"),
            None => {
                let nearest = table::nearest(name, Commands::ALL);
                let hint = nearest.map(|near| format!("; did you mean '{near}'?"));
                format!("{where_} invalid option '{name}'{place}{}", hint.unwrap_or_default())
            }
        };
        self.warnings.push(text);
    }

    fn warn_sections(&mut self, entries: &[Entry]) {
        let mut last = "";
        for entry in entries {
            let Some((_, word)) = entry.section.split_once(':') else { continue };
            if entry.section != last && CommandSpec::find(word).is_none() {
                let (section, place) = (&entry.section, entry.place());
                self.warnings.push(format!(
                    "configuration file contains section '{section}' of an unknown command ({place})"
                ));
            }
            last = &entry.section;
        }
    }

    fn warn_readable_secrets(&mut self, entries: &[Entry], files: &dyn ConfigFiles) {
        let mut paths: Vec<_> = entries
            .iter()
            .filter(|entry| table::find(&entry.key).is_some_and(|option| option.spec.secret))
            .map(|entry| &entry.path)
            .collect();
        paths.dedup();
        for path in paths.into_iter().filter(|path| files.is_world_readable(path)) {
            self.warnings.push(format!(
                "configuration file '{}' contains a secret and can be read by every user of this \
                 host",
                path.display()
            ));
        }
    }
}

/// Whether the value of an environment variable counts, so that it must be readable.
pub fn is_option_variable(variable: &str, flavor: Flavor) -> bool {
    variable.strip_prefix(flavor.environment_prefix()).is_some_and(|tail| {
        let name = tail.to_lowercase().replace('_', "-");
        !SWITCHES.contains(&name.as_str()) && table::find(&name).is_some()
    })
}

/// The name of an option's environment variable.
pub(super) fn variable(option: OptionRef, flavor: Flavor) -> String {
    format!("{}{}", flavor.environment_prefix(), option.name().to_uppercase().replace('-', "_"))
}
