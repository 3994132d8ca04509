//! What a row of the option table says, and how the name of an option is read.

use super::{commands::Commands, flavor::Flavor, quantity};

/// Where an option may stand in a configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// In `[global]` and in a stanza's section.
    Global,
    /// Only in a stanza's section.
    Stanza,
    /// In no section: only on the command line and in the environment.
    CommandLine,
}

/// The form of an option's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `y` or `n`.
    Boolean,
    /// A whole number in a range.
    Integer(i64, i64),
    /// A number of bytes in a range.
    Size(u64, u64),
    /// A time in a range of milliseconds.
    Time(u64, u64),
    /// Any text.
    Text,
    /// An absolute path.
    Path,
    /// Texts in the order given.
    List,
    /// `key=value` pairs in the order given.
    Hash,
    /// One word of a set.
    Word(&'static [&'static str]),
}

impl Kind {
    /// Whether the option may be given more than once.
    pub const fn is_multiple(self) -> bool {
        matches!(self, Self::List | Self::Hash)
    }

    /// The least and the greatest value, as options write them.
    pub fn range(self) -> Option<(String, String)> {
        match self {
            Self::Integer(low, high) => Some((low.to_string(), high.to_string())),
            Self::Size(low, high) => Some((quantity::shown_size(low), quantity::shown_size(high))),
            Self::Time(low, high) => Some((quantity::shown_time(low), quantity::shown_time(high))),
            Self::Boolean | Self::Text | Self::Path | Self::List | Self::Hash | Self::Word(_) => {
                None
            }
        }
    }

    /// The name of the form, as shown in help.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Integer(..) => "integer",
            Self::Size(..) => "size",
            Self::Time(..) => "time",
            Self::Text => "text",
            Self::Path => "path",
            Self::List => "list",
            Self::Hash => "key=value",
            Self::Word(_) => "word",
        }
    }
}

/// The value of an option that is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// There is none.
    None,
    /// The same under every name.
    Text(&'static str),
    /// A path that depends on the name the program was started under.
    ByProgram {
        /// Under the program's own name.
        pgstrata: &'static str,
        /// Under the name `pgbackrest`.
        pgbackrest: &'static str,
    },
}

/// What the program does with an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It has its meaning.
    Used,
    /// It has no meaning here: a value other than the default is taken with a warning that says why.
    Accepted(&'static str),
    /// Going on without it would do something else than what was asked for: it is refused, with
    /// the reason.
    Refused(&'static str),
}

/// Options that exist once for each cluster or repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// `pgN-…`
    Pg,
    /// `repoN-…`
    Repo,
}

impl Group {
    /// What stands before the number.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Pg => "pg",
            Self::Repo => "repo",
        }
    }
}

/// The highest N of `pgN-…` and `repoN-…`.
pub(super) const KEY_MAX: u16 = 256;

/// One row of the option table.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// The name; `pgN-` and `repoN-` stand for every number.
    pub name: &'static str,
    /// Where it may stand in a file.
    pub section: Section,
    /// The form of its value.
    pub kind: Kind,
    /// Its default.
    pub default: DefaultValue,
    /// Defaults of single commands.
    pub command_defaults: &'static [(Commands, &'static str)],
    /// Allowed words of single commands, where they differ.
    pub command_words: &'static [(Commands, &'static [&'static str])],
    /// The commands that take it.
    pub commands: Commands,
    /// Whether it must never be shown nor stand on the command line.
    pub secret: bool,
    /// What the program does with it.
    pub support: Support,
    /// One line of help.
    pub help: &'static str,
    /// More to know, where there is more.
    pub detail: &'static str,
    /// A value for the help; empty where the form says it all.
    pub example: &'static str,
    /// Help for single commands, where the option means something else to them.
    pub command_help: &'static [CommandHelp],
}

/// The help of an option for some of its commands. Empty texts are those of the row.
#[derive(Clone, Copy, Debug)]
pub struct CommandHelp {
    /// The commands.
    pub commands: Commands,
    /// One line.
    pub help: &'static str,
    /// More to know.
    pub detail: &'static str,
    /// A value.
    pub example: &'static str,
}

/// The help of an option for some of its commands.
pub(super) const fn help_for(commands: Commands, help: &'static str) -> CommandHelp {
    CommandHelp { commands, help, detail: "", example: "" }
}

impl CommandHelp {
    pub(super) const fn detail(mut self, text: &'static str) -> Self {
        self.detail = text;
        self
    }

    pub(super) const fn example(mut self, text: &'static str) -> Self {
        self.example = text;
        self
    }
}

/// A row: name, section, form, commands and help; the rest is added by the methods below.
pub(super) const fn row(
    name: &'static str,
    section: Section,
    kind: Kind,
    commands: Commands,
    help: &'static str,
) -> OptionSpec {
    OptionSpec {
        name,
        section,
        kind,
        default: DefaultValue::None,
        command_defaults: &[],
        command_words: &[],
        commands,
        secret: false,
        support: Support::Used,
        help,
        detail: "",
        example: "",
        command_help: &[],
    }
}

impl OptionSpec {
    pub(super) const fn default(mut self, text: &'static str) -> Self {
        self.default = DefaultValue::Text(text);
        self
    }

    pub(super) const fn default_path(
        mut self,
        pgstrata: &'static str,
        pgbackrest: &'static str,
    ) -> Self {
        self.default = DefaultValue::ByProgram { pgstrata, pgbackrest };
        self
    }

    pub(super) const fn command_defaults(
        mut self,
        defaults: &'static [(Commands, &'static str)],
    ) -> Self {
        self.command_defaults = defaults;
        self
    }

    pub(super) const fn command_words(
        mut self,
        words: &'static [(Commands, &'static [&'static str])],
    ) -> Self {
        self.command_words = words;
        self
    }

    pub(super) const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    pub(super) const fn accepted(mut self, reason: &'static str) -> Self {
        self.support = Support::Accepted(reason);
        self
    }

    pub(super) const fn refused(mut self, reason: &'static str) -> Self {
        self.support = Support::Refused(reason);
        self
    }

    pub(super) const fn detail(mut self, text: &'static str) -> Self {
        self.detail = text;
        self
    }

    pub(super) const fn example(mut self, text: &'static str) -> Self {
        self.example = text;
        self
    }

    pub(super) const fn command_help(mut self, help: &'static [CommandHelp]) -> Self {
        self.command_help = help;
        self
    }

    /// The help for a command.
    pub fn help_of(&self, commands: Commands) -> CommandHelp {
        let own = self.command_help.iter().find(|help| help.commands.meets(commands));
        let or = |text: &'static str, shared| if text.is_empty() { shared } else { text };
        match own {
            Some(own) => CommandHelp {
                commands,
                help: own.help,
                detail: or(own.detail, self.detail),
                example: or(own.example, self.example),
            },
            None => CommandHelp {
                commands,
                help: self.help,
                detail: self.detail,
                example: self.example,
            },
        }
    }

    /// The group, for an option that has a number in its name.
    pub fn group(&self) -> Option<Group> {
        [Group::Pg, Group::Repo].into_iter().find(|group| {
            self.name.strip_prefix(group.prefix()).is_some_and(|s| s.starts_with("N-"))
        })
    }

    /// Whether `--no-<name>` exists.
    pub fn is_negatable(&self) -> bool {
        self.kind == Kind::Boolean || self.name == "config"
    }

    /// The default for a command, under the name the program was started under.
    pub fn default_for(&self, commands: Commands, flavor: Flavor) -> Option<&'static str> {
        let own = self.command_defaults.iter().copied().find(|(set, _)| set.meets(commands));
        match (own, self.default) {
            (Some((_, text)), _) | (None, DefaultValue::Text(text)) => Some(text),
            (None, DefaultValue::ByProgram { pgstrata, pgbackrest }) => {
                Some(if flavor == Flavor::Pgbackrest { pgbackrest } else { pgstrata })
            }
            (None, DefaultValue::None) => None,
        }
    }

    /// The words allowed for a command; empty where any text is.
    pub fn words_for(&self, commands: Commands) -> &'static [&'static str] {
        let own = self.command_words.iter().copied().find(|(set, _)| set.meets(commands));
        match (own, self.kind) {
            (Some((_, words)), _) | (None, Kind::Word(words)) => words,
            _ => &[],
        }
    }
}

/// A row with the number of the cluster or repository, 0 for an option without one.
#[derive(Clone, Copy)]
pub struct OptionRef {
    /// The row.
    pub spec: &'static OptionSpec,
    /// The number.
    pub key: u16,
}

impl OptionRef {
    /// The name with its number.
    pub fn name(&self) -> String {
        numbered(self.spec, self.key)
    }
}

/// The name of an option with the number in place of `N`; `N` stays for 0.
pub fn numbered(spec: &OptionSpec, key: u16) -> String {
    match spec.group() {
        Some(group) if key > 0 => {
            let prefix = group.prefix();
            format!("{prefix}{key}{}", &spec.name[prefix.len() + 1..])
        }
        _ => spec.name.to_owned(),
    }
}

/// Splits `pg12-path` into the row's name `pgN-path` and 12. Other names come back with 0.
///
/// `None` where the number is not one from 1 to [`KEY_MAX`].
pub(super) fn split_name(name: &str) -> Option<(String, u16)> {
    for group in [Group::Repo, Group::Pg] {
        let Some(rest) = name.strip_prefix(group.prefix()) else { continue };
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits == 0 {
            continue;
        }
        let (number, tail) = rest.split_at(digits);
        let key = number.parse::<u16>().ok().filter(|key| (1..=KEY_MAX).contains(key))?;
        if number.starts_with('0') {
            return None;
        }
        return Some((format!("{}N{tail}", group.prefix()), key));
    }
    Some((name.to_owned(), 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_names() {
        let split = |name| split_name(name);
        assert_eq!(split("pg1-path"), Some(("pgN-path".into(), 1)));
        assert_eq!(split("repo256-path"), Some(("repoN-path".into(), 256)));
        assert_eq!(split("repo-target-time"), Some(("repo-target-time".into(), 0)));
        assert_eq!(split("pg-version-force"), Some(("pg-version-force".into(), 0)));
        for bad in ["pg0-path", "pg01-path", "pg257-path", "repo99999999-path"] {
            assert_eq!(split(bad), None, "{bad}");
        }
    }
}
