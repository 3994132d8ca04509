//! The command line: arguments to a command with its configuration, or to a text to print. Help,
//! completions and the manual page are all made from the option table.

mod argv;
mod complete;
mod help;
mod man;
mod wrap;

use std::ffi::{OsStr, OsString};

use crate::config::{
    Action, COMMANDS, CommandName, CommandSpec, Config, ConfigFiles, Error, Given, Program,
    Request, load,
};
use crate::types::nearest_of;

/// What is to be done.
#[derive(Debug)]
pub enum Invocation {
    /// A command with its configuration.
    Run(Box<Config>),
    /// Text for standard output, and nothing else.
    Print(String),
}

/// Reads a command line in its environment.
///
/// `argv0` is the first word of the command line and decides the default paths, `args` are the
/// words after it.
pub fn parse(
    argv0: &OsStr,
    args: &[OsString],
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    files: &dyn ConfigFiles,
) -> Result<Invocation, Error> {
    let program = Program::from_argv0(argv0);
    let argv::Argv { mut words, options } = argv::parse(args)?;
    if let Some(text) = print(&program, &words, &options)? {
        return Ok(Invocation::Print(text));
    }
    let word = if words.is_empty() { String::new() } else { words.remove(0) };
    let command = command(&word)?;
    let environment = argv::environment(environment, program.flavor)?;
    let request =
        Request { program, command, arguments: words, options, environment: &environment, files };
    load(request).map(|config| Invocation::Run(Box::new(config)))
}

/// The text, where that is all that is asked for.
fn print(program: &Program, words: &[String], options: &[Given]) -> Result<Option<String>, Error> {
    if is_on(options, "help") || (words.is_empty() && options.is_empty()) {
        // What follows the command is its own, and not an option to be explained.
        let asked =
            words.iter().position(|word| word != "help").map_or(&[][..], |at| &words[at..=at]);
        return help::help(program, asked).map(Some);
    }
    let Some(word) = words.first() else {
        return if is_on(options, "version") {
            version(program, options).map(Some)
        } else {
            Err(Error::CommandRequired)
        };
    };
    let command = command(word)?;
    match command.action {
        Ok(CommandName::Help) => help::help(program, &words[1..]).map(Some),
        Ok(CommandName::Version) if words.len() == 1 => version(program, options).map(Some),
        Ok(CommandName::Completion) => complete::completion(program, &words[1..]).map(Some),
        Ok(CommandName::Man) if words.len() == 1 => Ok(Some(man::page())),
        Ok(CommandName::Version | CommandName::Man) => Err(too_many(command.word, &words[1])),
        _ => Ok(None),
    }
}

fn too_many(command: &'static str, word: &str) -> Error {
    Error::ParameterInvalid { command, parameter: word.escape_debug().to_string(), hint: None }
}

fn is_on(options: &[Given], name: &str) -> bool {
    let on = |given: &Given| match &given.action {
        Action::Set(texts) => texts.last().is_some_and(|text| text == "y"),
        _ => false,
    };
    options.iter().any(|given| given.option.spec.name == name && on(given))
}

/// The command of a word; the nearest one is suggested for a word that is none.
fn command(word: &str) -> Result<&'static CommandSpec, Error> {
    let answered = COMMANDS.iter().filter(|spec| spec.action.is_ok());
    CommandSpec::find(word).ok_or_else(|| Error::CommandUnknown {
        word: word.escape_debug().to_string(),
        nearest: nearest_of(word, answered.map(|spec| spec.word.to_owned())),
    })
}

fn version(program: &Program, options: &[Given]) -> Result<String, Error> {
    let output = options.iter().find_map(|given| match &given.action {
        Action::Set(texts) if given.option.spec.name == "output" => texts.last(),
        _ => None,
    });
    match output.map(String::as_str) {
        None | Some("text") => Ok(format!("pgstrata {VERSION}\n")),
        Some("json") => Ok(format!("{{\"name\":\"pgstrata\",\"version\":\"{VERSION}\"}}\n")),
        Some(other) => Err(Error::OptionValue {
            option: "output".into(),
            value: format!("'{}'", other.escape_debug()),
            problem: "is not allowed".into(),
            place: String::new(),
            hint: Some(format!("allowed values: text, json. See '{} help version'.", program.name)),
        }),
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

#[cfg(test)]
mod tests;
