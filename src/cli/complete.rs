//! Shell completions and the whole parser they are made from. The whole parser is built only
//! here and for the manual page; reading a command line does without it.

use clap::{Arg, ArgAction, Command};
use clap_complete::{Shell, generate};

use crate::config::{
    COMMANDS, CommandSpec, Commands, Error, Kind, OptionSpec, Program, Support, numbered,
    table::rows,
};

const SHELLS: [(&str, Shell); 3] =
    [("bash", Shell::Bash), ("fish", Shell::Fish), ("zsh", Shell::Zsh)];

/// The completion script for a shell.
pub(super) fn completion(program: &Program, words: &[String]) -> Result<String, Error> {
    let command = "completion";
    let word = match words {
        [] => return Err(Error::ParameterRequired { command, parameter: "shell" }),
        [word] => word,
        [_, extra, ..] => return Err(super::too_many(command, extra)),
    };
    let shell = SHELLS.iter().find(|(name, _)| name == word).map(|(_, shell)| *shell);
    let shell = shell.ok_or_else(|| Error::ParameterInvalid {
        command,
        parameter: word.escape_debug().to_string(),
        hint: Some("there are completions for bash, fish and zsh.".into()),
    })?;
    let mut script = Vec::new();
    generate(
        shell,
        &mut root().args(common().map(|row| argument(row, Commands::ALL))),
        &program.name,
        &mut script,
    );
    Ok(String::from_utf8_lossy(&script).into_owned())
}

/// A parser with all commands, each with the options that have a meaning for it.
pub(super) fn root() -> Command {
    let commands = COMMANDS.iter().filter(|spec| spec.action.is_ok()).map(subcommand);
    Command::new("pgstrata")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Physical backup, WAL archiving and point-in-time recovery for PostgreSQL")
        .disable_help_subcommand(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .subcommands(commands)
}

/// The options that a command line may have.
pub(super) fn usable() -> impl Iterator<Item = &'static OptionSpec> {
    rows().filter(|row| row.support == Support::Used && !row.secret)
}

/// The options that all commands take, and the stanza.
fn common() -> impl Iterator<Item = &'static OptionSpec> {
    let all = rows().filter(|row| row.commands == Commands::ALL);
    all.chain(rows().filter(|row| row.name == "stanza"))
}

fn subcommand(spec: &CommandSpec) -> Command {
    let own = usable().filter(|row| row.commands.meets(spec.set));
    let positional = spec.arguments.iter().enumerate().map(|(at, (name, required))| {
        Arg::new(format!(" {name}")).value_name(*name).index(at + 1).required(*required)
    });
    Command::new(spec.word)
        .about(spec.summary)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args(own.map(|row| argument(row, spec.set)))
        .args(positional)
}

/// An option of some commands as clap knows it.
pub(super) fn argument(row: &OptionSpec, commands: Commands) -> Arg {
    let name = numbered(row, 1);
    let help = if commands == Commands::ALL { row.help } else { row.help_of(commands).help };
    let arg = Arg::new(name.clone()).long(name).help(help);
    let arg = match row.kind {
        Kind::Boolean => arg.action(ArgAction::SetTrue),
        _ => arg.action(ArgAction::Append).num_args(1).value_name(row.kind.name()),
    };
    match row.kind {
        Kind::Word(words) => arg.value_parser(words.to_vec()),
        Kind::Path => arg.value_hint(clap::ValueHint::AnyPath),
        _ => arg,
    }
}
