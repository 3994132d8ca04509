//! The command line as words and options.
//!
//! clap does the reading. It is given only those options that occur in the arguments, each with
//! the number it has there: the program runs once for every WAL segment, and building a parser for
//! all options with all their numbers would take longer than the work.

use std::{collections::BTreeMap, ffi::OsString};

use clap::{
    Arg, ArgAction, ArgMatches, Command,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::config::{
    Action, Commands, Error, Flavor, Given, Kind, OptionRef, is_option_variable,
    table::{find, nearest},
};

/// The id of the words; no option can have it.
const WORDS: &str = " words";

/// The command line, read but not yet checked against a command.
pub(super) struct Argv {
    /// The command and what follows it.
    pub(super) words: Vec<String>,
    /// The options, in the order of their names.
    pub(super) options: Vec<Given>,
}

/// The three forms of an option's name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    Negated,
    Reset,
}

/// Reads the arguments after the program's name.
pub(super) fn parse(args: &[OsString]) -> Result<Argv, Error> {
    let args = args.iter().enumerate().map(unicode).collect::<Result<Vec<_>, _>>()?;
    let forms = forms(&args);
    let command = forms.iter().fold(base(), |command, (name, (option, form))| {
        command.arg(argument(name, option.spec.kind, *form, &args))
    });
    let matches = command.try_get_matches_from(args).map_err(|error| convert(&error, &forms))?;
    collect(&matches, &forms)
}

/// An argument as text. It may be a secret, so the error has its place only.
fn unicode((at, arg): (usize, &OsString)) -> Result<String, Error> {
    let error = || Error::NotUnicode { what: format!("argument {}", at + 1) };
    arg.to_str().map(str::to_owned).ok_or_else(error)
}

/// The options that occur, by the name as it is written.
fn forms(args: &[String]) -> BTreeMap<String, (OptionRef, Form)> {
    let short = |arg: &str| match arg {
        "-h" | "-?" => Some("help"),
        "-V" => Some("version"),
        _ => None,
    };
    args.iter()
        .filter_map(|arg| {
            let name = short(arg).or_else(|| arg.strip_prefix("--")?.split('=').next())?;
            Some((name.to_owned(), form(name)?))
        })
        .collect()
}

fn form(name: &str) -> Option<(OptionRef, Form)> {
    if let Some(option) = find(name) {
        return Some((option, Form::Plain));
    }
    if let Some(rest) = name.strip_prefix("no-") {
        let option = find(rest).filter(|option| option.spec.is_negatable())?;
        return Some((option, Form::Negated));
    }
    Some((find(name.strip_prefix("reset-")?)?, Form::Reset))
}

fn base() -> Command {
    let words = Arg::new(WORDS).num_args(0..).action(ArgAction::Append);
    Command::new("pgstrata")
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .arg(words)
}

fn argument(name: &str, kind: Kind, form: Form, args: &[String]) -> Arg {
    let arg = Arg::new(name.to_owned()).long(name.to_owned());
    if form != Form::Plain {
        return arg.action(ArgAction::Count);
    }
    if kind != Kind::Boolean {
        return arg.action(ArgAction::Append).num_args(1).allow_hyphen_values(true);
    }
    let arg = arg
        .action(ArgAction::Append)
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("y");
    match name {
        "help" if args.iter().any(|arg| arg == "-?") => arg.short('h').short_alias('?'),
        "help" => arg.short('h'),
        "version" => arg.short('V'),
        _ => arg,
    }
}

fn collect(
    matches: &ArgMatches,
    forms: &BTreeMap<String, (OptionRef, Form)>,
) -> Result<Argv, Error> {
    let strings = |id: &str| matches.get_many::<String>(id).into_iter().flatten().cloned();
    let mut options = Vec::new();
    for (name, (option, form)) in forms {
        let action = match form {
            Form::Plain => Action::Set(strings(name).collect()),
            Form::Negated => Action::Negate,
            Form::Reset => Action::Reset,
        };
        let present = match &action {
            Action::Set(texts) => !texts.is_empty(),
            _ => match matches.get_count(name) {
                0 => false,
                1 => true,
                _ => return Err(Error::OptionRepeated { option: name.clone(), places: vec![] }),
            },
        };
        if present {
            options.push(Given { option: *option, action });
        }
    }
    Ok(Argv { words: strings(WORDS).collect(), options })
}

/// clap's complaint in the words of this program. The value is never repeated.
fn convert(error: &clap::Error, forms: &BTreeMap<String, (OptionRef, Form)>) -> Error {
    let text = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let shown: String = text.chars().take_while(|c| !c.is_whitespace() && *c != '=').collect();
    let shown = shown.trim_end_matches(['[', '.']).to_owned();
    let known = forms.contains_key(shown.trim_start_matches('-'));
    let problem = match error.kind() {
        ErrorKind::TooManyValues if known => Some("does not take a value"),
        _ if known => Some("requires a value"),
        _ => None,
    };
    match problem {
        Some(problem) => {
            Error::OptionForm { option: shown.trim_start_matches('-').to_owned(), problem }
        }
        None => unknown(shown),
    }
}

fn unknown(shown: String) -> Error {
    let name = shown.trim_start_matches('-');
    let (prefix, rest) = ["no-", "reset-"]
        .into_iter()
        .find_map(|prefix| Some((prefix, name.strip_prefix(prefix)?)))
        .unwrap_or(("", name));
    let near = |candidate: String| format!("did you mean '--{prefix}{candidate}'?");
    let numbered = format!("{}1-{}", rest.split('-').next().unwrap_or(""), after_dash(rest));
    let hint = match find(rest) {
        Some(_) if prefix == "no-" => {
            Some(format!("use '--reset-{rest}' to leave the option out."))
        }
        _ if find(&numbered).is_some() => Some(near(numbered)),
        _ => nearest(rest, Commands::ALL).map(near),
    };
    Error::OptionUnknown { option: shown, hint }
}

fn after_dash(name: &str) -> &str {
    name.split_once('-').map_or("", |(_, tail)| tail)
}

/// The environment as text. Variables of other programs may hold any bytes; of ours, what is not
/// UTF-8 is an error.
pub(super) fn environment(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    flavor: Flavor,
) -> Result<Vec<(String, String)>, Error> {
    let ours = |(name, value): (OsString, OsString)| {
        let name = name.to_str()?.to_owned();
        name.starts_with(flavor.environment_prefix()).then_some((name, value))
    };
    let text = |(name, value): (String, OsString)| match value.into_string() {
        Ok(value) => Ok((name, value)),
        // The value of a variable that is not an option is never read.
        Err(value) if !is_option_variable(&name, flavor) => {
            Ok((name, value.to_string_lossy().into_owned()))
        }
        Err(_) => Err(Error::NotUnicode { what: format!("environment variable {name}") }),
    };
    variables.into_iter().filter_map(ours).map(text).collect()
}
