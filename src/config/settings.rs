//! The checked values of one run, looked up by the name of their row.

use std::{collections::BTreeMap, path::PathBuf, str::FromStr, time::Duration};

use super::{
    commands::CommandSpec,
    error::Error,
    flavor::Flavor,
    layers::{Id, Layers, Raw, Source},
    spec::{Group, OptionRef, OptionSpec, Support, numbered},
    table,
    value::{self, Value},
};
use crate::types::{Invalid, Secret};

/// One option that was set.
pub(super) struct Setting {
    pub(super) option: OptionRef,
    pub(super) value: Value,
    pub(super) texts: Vec<String>,
    pub(super) source: Source,
}

/// Every option that was set, and the defaults of the rest.
pub(super) struct Settings {
    pub(super) command: &'static CommandSpec,
    pub(super) flavor: Flavor,
    pub(super) set: BTreeMap<Id, Setting>,
    /// Options that the command line put back to their defaults.
    pub(super) reset: Vec<OptionRef>,
}

impl Settings {
    /// Checks every text against its row.
    pub(super) fn check(layers: Layers, flavor: Flavor) -> Result<(Self, Vec<String>), Error> {
        let Layers { command, raws, warnings } = layers;
        let mut settings = Self { command, flavor, set: BTreeMap::new(), reset: Vec::new() };
        for (id, Raw { option, texts, source }) in raws {
            let Some(texts) = texts else {
                settings.reset.push(option);
                continue;
            };
            let value = value::parse(option.spec, command.set, &texts)
                .map_err(|(at, problem)| value_error(option, &texts, at, &source, problem))?;
            settings.set.insert(id, Setting { option, value, texts, source });
        }
        Ok((settings, warnings))
    }

    /// The numbers of a group for which any option is set.
    pub(super) fn keys(&self, group: Group) -> Vec<u16> {
        let of_group =
            self.set.values().filter(|setting| setting.option.spec.group() == Some(group));
        let mut keys: Vec<_> = of_group.map(|setting| setting.option.key).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Whether the option was set, by whatever layer.
    pub(super) fn is_set(&self, name: &'static str, key: u16) -> bool {
        self.set.contains_key(&(name, key))
    }

    /// The value that holds: what was set, or the default.
    pub(super) fn value(&self, name: &'static str, key: u16) -> Result<Option<Value>, Error> {
        if let Some(setting) = self.set.get(&(name, key)) {
            return Ok(Some(setting.value.clone()));
        }
        let spec = table::row_named(name).ok_or_else(|| Error::Internal(name.into()))?;
        self.default_of(spec)
    }

    fn default_of(&self, spec: &'static OptionSpec) -> Result<Option<Value>, Error> {
        let Some(text) = spec.default_for(self.command.set, self.flavor) else { return Ok(None) };
        value::parse(spec, self.command.set, &[text.to_owned()])
            .map(Some)
            .map_err(|_| Error::Internal(spec.name.into()))
    }

    /// Whether the setting says anything else than the default of its row.
    pub(super) fn differs_from_default(&self, setting: &Setting) -> Result<bool, Error> {
        Ok(self.default_of(setting.option.spec)?.as_ref() != Some(&setting.value))
    }

    /// The options without effect here that were set to something, with the reason.
    pub(super) fn without_effect(&self) -> Result<Vec<(String, &'static str)>, Error> {
        let mut found = Vec::new();
        for setting in self.set.values() {
            if let Support::Accepted(reason) = setting.option.spec.support
                && self.differs_from_default(setting)?
            {
                found.push((setting.option.name(), reason));
            }
        }
        Ok(found)
    }

    /// A truth value; `false` where there is no default.
    pub(super) fn boolean(&self, name: &'static str) -> Result<bool, Error> {
        self.boolean_of(name, 0)
    }

    pub(super) fn boolean_of(&self, name: &'static str, key: u16) -> Result<bool, Error> {
        Ok(self.keyed_boolean(name, key)?.unwrap_or(false))
    }

    pub(super) fn optional_boolean(&self, name: &'static str) -> Result<Option<bool>, Error> {
        self.keyed_boolean(name, 0)
    }

    fn keyed_boolean(&self, name: &'static str, key: u16) -> Result<Option<bool>, Error> {
        match self.value(name, key)? {
            Some(Value::Boolean(value)) => Ok(Some(value)),
            None => Ok(None),
            Some(_) => Err(Error::Internal(name.into())),
        }
    }

    /// A whole number; the range of the row is within that of the type.
    pub(super) fn integer<T: TryFrom<i64>>(
        &self,
        name: &'static str,
        key: u16,
    ) -> Result<Option<T>, Error> {
        match self.value(name, key)? {
            Some(Value::Integer(value)) => {
                T::try_from(value).map(Some).map_err(|_| Error::Internal(name.into()))
            }
            None => Ok(None),
            Some(_) => Err(Error::Internal(name.into())),
        }
    }

    /// A whole number that was set: the default of its row is shown, and decided on elsewhere.
    pub(super) fn set_integer<T: TryFrom<i64>>(
        &self,
        name: &'static str,
        key: u16,
    ) -> Result<Option<T>, Error> {
        if self.is_set(name, key) { self.integer(name, key) } else { Ok(None) }
    }

    pub(super) fn size(&self, name: &'static str, key: u16) -> Result<u64, Error> {
        self.optional_size(name, key)?.ok_or_else(|| Error::Internal(name.into()))
    }

    pub(super) fn optional_size(&self, name: &'static str, key: u16) -> Result<Option<u64>, Error> {
        match self.value(name, key)? {
            Some(Value::Size(value)) => Ok(Some(value)),
            None => Ok(None),
            Some(_) => Err(Error::Internal(name.into())),
        }
    }

    pub(super) fn time(&self, name: &'static str) -> Result<Duration, Error> {
        self.time_of(name, 0)
    }

    pub(super) fn time_of(&self, name: &'static str, key: u16) -> Result<Duration, Error> {
        match self.value(name, key)? {
            Some(Value::Time(value)) => Ok(value),
            _ => Err(Error::Internal(name.into())),
        }
    }

    pub(super) fn text(&self, name: &'static str, key: u16) -> Result<Option<String>, Error> {
        match self.value(name, key)? {
            Some(Value::Text(value)) => Ok(Some(value)),
            None => Ok(None),
            Some(_) => Err(Error::Internal(name.into())),
        }
    }

    /// The value of an option with one word of a set and a default.
    pub(super) fn word<T: FromStr>(&self, name: &'static str) -> Result<T, Error> {
        self.word_of(name, 0)
    }

    pub(super) fn word_of<T: FromStr>(&self, name: &'static str, key: u16) -> Result<T, Error> {
        self.optional_word_of(name, key)?.ok_or_else(|| Error::Internal(name.into()))
    }

    /// The value of an option with one word of a set. The row has refused every other word.
    pub(super) fn optional_word_of<T: FromStr>(
        &self,
        name: &'static str,
        key: u16,
    ) -> Result<Option<T>, Error> {
        let Some(text) = self.text(name, key)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Error::Internal(name.into()))
    }

    /// A text in the form of a type that can be read from it.
    pub(super) fn parsed<T>(&self, name: &'static str) -> Result<Option<T>, Error>
    where
        T: FromStr<Err = Invalid>,
    {
        let Some(text) = self.text(name, 0)? else { return Ok(None) };
        let invalid = |error: Invalid| {
            self.invalid(name, 0, "is not valid", Some(format!("{}.", error.reason)))
        };
        text.parse().map(Some).map_err(invalid)
    }

    /// The value of an option that nothing works without.
    pub(super) fn needed<T>(
        &self,
        name: &'static str,
        key: u16,
        value: Option<T>,
    ) -> Result<T, Error> {
        value.ok_or_else(|| Error::OptionRequired {
            command: self.command.word,
            option: table::row_named(name)
                .map_or_else(|| name.into(), |row: &OptionSpec| numbered(row, key)),
            hint: None,
        })
    }

    pub(super) fn secret(&self, name: &'static str, key: u16) -> Result<Option<Secret>, Error> {
        match self.value(name, key)? {
            Some(Value::Secret(value)) => Ok(Some(value)),
            None => Ok(None),
            Some(_) => Err(Error::Internal(name.into())),
        }
    }

    pub(super) fn path(&self, name: &'static str, key: u16) -> Result<Option<PathBuf>, Error> {
        match self.value(name, key)? {
            Some(Value::Path(value)) => Ok(Some(value)),
            None => Ok(None),
            Some(_) => Err(Error::Internal(name.into())),
        }
    }

    pub(super) fn required_path(&self, name: &'static str, key: u16) -> Result<PathBuf, Error> {
        self.path(name, key)?.ok_or_else(|| Error::Internal(name.into()))
    }

    pub(super) fn list(&self, name: &'static str) -> Result<Vec<String>, Error> {
        self.list_of(name, 0)
    }

    pub(super) fn list_of(&self, name: &'static str, key: u16) -> Result<Vec<String>, Error> {
        match self.value(name, key)? {
            Some(Value::List(value)) => Ok(value),
            None => Ok(Vec::new()),
            Some(_) => Err(Error::Internal(name.into())),
        }
    }

    pub(super) fn hash(&self, name: &'static str) -> Result<Vec<(String, String)>, Error> {
        self.hash_of(name, 0)
    }

    pub(super) fn hash_of(
        &self,
        name: &'static str,
        key: u16,
    ) -> Result<Vec<(String, String)>, Error> {
        match self.value(name, key)? {
            Some(Value::Hash(value)) => Ok(value),
            None => Ok(Vec::new()),
            Some(_) => Err(Error::Internal(name.into())),
        }
    }

    /// The error for a value that has the right form and still cannot be.
    pub(super) fn invalid(
        &self,
        name: &'static str,
        key: u16,
        problem: &str,
        hint: Option<String>,
    ) -> Error {
        let Some(setting) = self.set.get(&(name, key)) else {
            return Error::Internal(name.into());
        };
        Error::OptionValue {
            option: setting.option.name(),
            value: shown(setting.option, setting.texts.first()),
            problem: problem.to_owned(),
            place: place(&setting.source, 0),
            hint,
        }
    }
}

fn value_error(
    option: OptionRef,
    texts: &[String],
    at: usize,
    source: &Source,
    problem: value::Problem,
) -> Error {
    Error::OptionValue {
        option: option.name(),
        value: shown(option, texts.get(at)),
        problem: problem.text.to_owned(),
        place: place(source, at),
        hint: problem.hint,
    }
}

/// The value in quotes; never a secret.
fn shown(option: OptionRef, text: Option<&String>) -> String {
    match text {
        Some(text) if !option.spec.secret => format!("'{}'", text.escape_debug()),
        _ => "the value".to_owned(),
    }
}

fn place(source: &Source, at: usize) -> String {
    match source {
        Source::CommandLine => String::new(),
        Source::Environment(variable) => format!(" (environment variable {variable})"),
        Source::File(places) => {
            places.get(at).map(|place| format!(" ({place})")).unwrap_or_default()
        }
    }
}
