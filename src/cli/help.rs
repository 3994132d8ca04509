//! Help texts: the list of commands, a command, an option. All from the two tables.

use super::{command, wrap::wrap};
use crate::config::{
    COMMANDS, CommandSpec, Commands, Error, Flavor, Kind, OptionSpec, Program, Section, StanzaUse,
    Support,
    table::{CHAPTERS, find_any_key, nearest, rows},
};

const WIDTH: usize = 80;
const NAME_COLUMN: usize = 4;
const TEXT_COLUMN: usize = 31;

/// The help on nothing, on a command, or on an option of a command.
pub(super) fn help(program: &Program, words: &[String]) -> Result<String, Error> {
    match words {
        [] => Ok(general(program)),
        [word] => Ok(of_command(program, answered(word)?)),
        [word, name, ..] => of_option(program, answered(word)?, name),
    }
}

fn answered(word: &str) -> Result<&'static CommandSpec, Error> {
    let spec = command(word)?;
    match spec.action {
        Ok(_) => Ok(spec),
        Err(reason) => Err(Error::CommandUnsupported { word: spec.word, reason }),
    }
}

fn title(what: &str) -> String {
    format!("pgstrata {} - {what}\n\n", env!("CARGO_PKG_VERSION"))
}

fn general(program: &Program) -> String {
    let mut text = title("general help");
    text += &format!("Usage:\n    {} [options] [command] [arguments]\n\nCommands:\n", program.name);
    for spec in COMMANDS.iter().filter(|spec| spec.action.is_ok()) {
        text += &two_columns(spec.word, spec.summary, 20);
    }
    text += &format!("\nUse '{} help [command]' for more information.\n", program.name);
    text
}

/// A name, and beside it a text that may run over several lines.
fn two_columns(name: &str, text: &str, column: usize) -> String {
    let lines = wrap(text, column, WIDTH);
    let head = format!("{:NAME_COLUMN$}{name}", "");
    if head.chars().count() < column {
        let gap = " ".repeat(column - head.chars().count());
        format!("{head}{gap}{}", lines.trim_start())
    } else {
        format!("{head}\n{lines}")
    }
}

fn of_command(program: &Program, spec: &CommandSpec) -> String {
    let name = &program.name;
    let mut text = title(&format!("'{}' command help", spec.word));
    text += &format!("{}.\n\n{}\n", spec.summary, wrap(spec.text, 0, WIDTH));
    text += &format!("Usage:\n    {name} {}\n", usage(spec));
    text += &options(program, spec);
    text += "\nExamples:\n";
    for example in spec.examples {
        text += &format!("    {name} {example}\n");
    }
    text + &format!("\nUse '{name} help {} [option]' for more information.\n", spec.word)
}

fn usage(spec: &CommandSpec) -> String {
    let stanza = match spec.stanza {
        StanzaUse::Required => "--stanza=<name> ",
        StanzaUse::Optional => "[--stanza=<name>] ",
        StanzaUse::Unused => "",
    };
    let argument = |(name, required): &(&str, bool)| {
        if *required { format!(" <{name}>") } else { format!(" [{name}]") }
    };
    let arguments: String = spec.arguments.iter().map(argument).collect();
    format!("{stanza}[options] {}{arguments}", spec.word)
}

fn options(program: &Program, spec: &CommandSpec) -> String {
    let mut text = String::new();
    for chapter in CHAPTERS {
        let used = chapter
            .rows
            .iter()
            .filter(|row| row.commands.meets(spec.set) && row.support == Support::Used);
        let lines: String = used
            .map(|row| {
                let line = format!(
                    "{}{}",
                    row.help_of(spec.set).help,
                    brackets(row, spec.set, program.flavor)
                );
                two_columns(&format!("--{}", row.name), &line, TEXT_COLUMN)
            })
            .collect();
        if !lines.is_empty() {
            text += &format!("\n{}:\n{lines}", chapter.title);
        }
    }
    text + &ignored(spec)
}

fn brackets(row: &OptionSpec, commands: Commands, flavor: Flavor) -> String {
    match row.default_for(commands, flavor) {
        _ if row.secret => " [not\u{a0}on\u{a0}the\u{a0}command\u{a0}line]".into(),
        // Blanks that do not break keep the brackets on one line.
        Some(default) => format!(" [default:\u{a0}{default}]"),
        None => String::new(),
    }
}

/// The names of options that are ignored; many of one family as a pattern.
fn ignored(spec: &CommandSpec) -> String {
    let accepted = |row: &&OptionSpec| matches!(row.support, Support::Accepted(_));
    let mut names: Vec<_> = rows()
        .filter(|row| row.commands.meets(spec.set))
        .filter(accepted)
        .map(|row| family(row.name))
        .collect();
    names.dedup();
    match names.len() {
        0 => String::new(),
        _ => format!("\nAccepted and ignored:\n{}", wrap(&names.join(", "), NAME_COLUMN, WIDTH)),
    }
}

/// `repoN-s3-*` for `repoN-s3-key`, where no option of that family has a meaning; else the name.
fn family(name: &str) -> String {
    let Some(end) = name.match_indices('-').nth(1).map(|(at, _)| at + 1) else {
        return name.to_owned();
    };
    let family = &name[..end];
    let is_numbered = family.starts_with("repoN-") || family.starts_with("pgN-");
    let used = rows().any(|row| row.support == Support::Used && row.name.starts_with(family));
    if is_numbered && !used { format!("{family}*") } else { name.to_owned() }
}

fn of_option(program: &Program, spec: &CommandSpec, name: &str) -> Result<String, Error> {
    let name = name.trim_start_matches('-');
    let row = find_any_key(name).ok_or_else(|| Error::OptionUnknown {
        option: name.escape_debug().to_string(),
        hint: nearest(name, spec.set).map(|near| format!("did you mean '{near}'?")),
    })?;
    if !row.commands.meets(spec.set) {
        return Err(Error::OptionNotForCommand {
            option: row.name.into(),
            command: spec.word,
            valid_for: row.commands.words().collect(),
        });
    }
    Ok(option_text(program, spec, row))
}

fn option_text(program: &Program, spec: &CommandSpec, row: &OptionSpec) -> String {
    let mut text = title(&format!("'{} --{}' help", spec.word, row.name));
    let help = row.help_of(spec.set);
    text += &format!("{}.\n\n", help.help);
    if !help.detail.is_empty() {
        text += &format!("{}\n", wrap(help.detail, 0, WIDTH));
    }
    match row.support {
        Support::Accepted(reason) => {
            text += &format!("{}\n", wrap(&format!("This option is ignored: {reason}."), 0, WIDTH));
        }
        Support::Refused(reason) => {
            text += &format!(
                "{}\n",
                wrap(&format!("This option is not supported: {reason}."), 0, WIDTH)
            );
        }
        Support::Used => {}
    }
    text + &facts(program, spec, row)
}

fn facts(program: &Program, spec: &CommandSpec, row: &OptionSpec) -> String {
    let mut facts = vec![("type", row.kind.name().to_owned())];
    let allowed = row.words_for(spec.set);
    if !allowed.is_empty() {
        facts.push(("allowed", allowed.join(", ")));
    }
    if let Some((low, high)) = row.kind.range() {
        facts.push(("range", format!("{low} to {high}")));
    }
    if let Some(default) = row.default_for(spec.set, program.flavor) {
        facts.push(("default", default.to_owned()));
    }
    let variable = crate::config::numbered(row, 1).to_uppercase().replace('-', "_");
    facts.push(("environment", format!("{}{variable}", program.flavor.environment_prefix())));
    facts.push((
        "file",
        match row.section {
            Section::Global => "[global] or the section of a stanza".into(),
            Section::Stanza => "the section of a stanza".into(),
            Section::CommandLine => "not in a file".into(),
        },
    ));
    if row.secret {
        facts.push(("secret", "yes: not on the command line, never shown".into()));
    }
    facts.extend(example(spec, row).map(|text| ("example", text)));
    let line = |(name, value): (&str, String)| {
        two_columns(&format!("{name}:"), &value, NAME_COLUMN + "environment: ".len())
    };
    facts.into_iter().map(line).collect()
}

/// As it stands on the command line, or in a file where the option may be set there.
fn example(spec: &CommandSpec, row: &OptionSpec) -> Option<String> {
    let name = crate::config::numbered(row, 1);
    let value = row.help_of(spec.set).example;
    let negative = row.default_for(spec.set, Flavor::Pgstrata) == Some("y");
    match (row.section, row.kind) {
        (Section::CommandLine, Kind::Boolean) if negative => Some(format!("--no-{name}")),
        (Section::CommandLine, Kind::Boolean) => Some(format!("--{name}")),
        (Section::Global | Section::Stanza, Kind::Boolean) => {
            Some(format!("{name}={}", if negative { "n" } else { "y" }))
        }
        _ if value.is_empty() => None,
        (Section::CommandLine, _) => Some(format!("--{name}={value}")),
        (Section::Global | Section::Stanza, _) => Some(format!("{name}={value}")),
    }
}
