use std::{collections::BTreeSet, fmt::Write, path::Path};

use super::*;
use crate::config::{
    commands::COMMANDS,
    flavor::Flavor,
    spec::{Kind, Section},
    value,
};

#[test]
fn every_row_is_complete() {
    for row in rows() {
        let name = row.name;
        assert!(!row.help.is_empty() && !row.help.ends_with('.'), "{name}: help");
        assert!(row.help.len() <= 72, "{name}: the help is longer than a line");
        assert!(row.detail.is_empty() || row.detail.ends_with('.'), "{name}: detail");
        assert!(!row.commands.is_empty(), "{name}: no command takes it");
        assert!(row.secret || row.kind != Kind::Hash || !row.help.is_empty(), "{name}");
        if let Support::Accepted(reason) | Support::Refused(reason) = row.support {
            assert!(!reason.is_empty() && !reason.ends_with('.'), "{name}: reason");
        }
    }
}

#[test]
fn names_are_distinct_and_found() {
    let names: BTreeSet<_> = rows().map(|row| row.name).collect();
    assert_eq!(names.len(), rows().count());
    for row in rows() {
        let found = find(&numbered(row, 12)).unwrap();
        assert_eq!(found.spec.name, row.name);
        assert_eq!(found.key, if row.group().is_some() { 12 } else { 0 });
        assert!(row.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "{}", row.name);
        // These words before a name are its other forms, so no name may begin with them.
        assert!(!row.name.starts_with("no-") && !row.name.starts_with("reset-"), "{}", row.name);
    }
}

#[test]
fn chapters_are_sorted() {
    for chapter in CHAPTERS {
        assert!(chapter.rows.is_sorted_by_key(|row| row.name), "{}", chapter.title);
    }
}

#[test]
fn defaults_and_examples_are_values() {
    for row in rows() {
        for command in COMMANDS.iter().filter(|spec| spec.set.meets(row.commands)) {
            for flavor in [Flavor::Pgstrata, Flavor::Pgbackrest] {
                let Some(text) = row.default_for(command.set, flavor) else { continue };
                let value = value::parse(row, command.set, &[text.to_owned()]);
                assert!(value.is_ok(), "{} {}: {text}", command.word, row.name);
            }
        }
        let takes_example = COMMANDS.iter().any(|command| {
            let texts = [row.example.to_owned()];
            command.set.meets(row.commands) && value::parse(row, command.set, &texts).is_ok()
        });
        assert!(row.example.is_empty() || takes_example, "{}: {}", row.name, row.example);
    }
}

#[test]
fn every_option_has_an_example() {
    for row in rows().filter(|row| row.support == Support::Used) {
        let by_form = row.kind == Kind::Boolean || row.secret;
        assert!(by_form || !row.example.is_empty(), "{}: no example", row.name);
    }
}

#[test]
fn help_of_single_commands_is_of_commands_that_take_the_option() {
    for row in rows() {
        for own in row.command_help {
            let help = own.help;
            assert!(
                !help.is_empty() && help.len() <= 72 && !help.ends_with('.'),
                "{}: {help}",
                row.name
            );
            assert!(
                own.detail.is_empty() || own.detail.ends_with('.'),
                "{}: {}",
                row.name,
                own.detail
            );
            assert!(own.commands.without(row.commands).is_empty(), "{}: {help}", row.name);
            if own.example.is_empty() {
                continue;
            }
            for command in COMMANDS.iter().filter(|command| command.set.meets(own.commands)) {
                let texts = [own.example.to_owned()];
                assert!(
                    value::parse(row, command.set, &texts).is_ok(),
                    "{}: {}",
                    row.name,
                    own.example
                );
            }
        }
    }
}

/// A row whose name stands nowhere else has no reader.
#[test]
fn every_option_that_is_used_has_a_reader() {
    let mut source = String::new();
    collect(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config").as_path(), &mut source);
    collect(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli").as_path(), &mut source);
    let is_taken = |row: &&OptionSpec| row.commands.words().next().is_some();
    for row in rows().filter(|row| row.support == Support::Used).filter(is_taken) {
        let named = source.matches(&format!("\"{}\"", row.name)).count();
        assert!(named >= 2, "{} has a row and no reader", row.name);
    }
}

fn collect(directory: &Path, source: &mut String) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, source);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.ends_with("tests.rs")
        {
            source.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_compression_type_but_bz2_is_one_of_ours() {
    let row = row_named("compress-type").unwrap();
    let words = row.words_for(Commands::BACKUP);
    let foreign: Vec<_> =
        words.iter().filter(|word| word.parse::<crate::types::CompressType>().is_err()).collect();
    assert_eq!(foreign, [&"bz2"]);
}

#[test]
fn booleans_have_a_default_or_decide_by_themselves() {
    for row in rows().filter(|row| row.kind == Kind::Boolean && row.name != "checksum-page") {
        let default = row.default_for(row.commands, Flavor::Pgstrata);
        assert!(matches!(default, Some("y" | "n")), "{}", row.name);
    }
}

#[test]
fn names_without_their_number_are_found_for_help() {
    for name in ["pg-path", "pgN-path", "pg3-path"] {
        assert_eq!(find_any_key(name).unwrap().name, "pgN-path");
    }
    assert!(find("pg-path").is_none(), "an option needs its number");
    assert!(find_any_key("nothing").is_none());
}

#[test]
fn the_nearest_name_keeps_the_number() {
    let near = |name| nearest(name, Commands::ALL);
    assert_eq!(near("stanz").as_deref(), Some("stanza"));
    assert_eq!(near("repo2-pth").as_deref(), Some("repo2-path"));
    assert_eq!(near("pg12-prt").as_deref(), Some("pg12-port"));
    assert_eq!(near("zzzzzzzzzzzz"), None);
    assert_eq!(near(""), None);
}

const DOC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");

/// The part of the documentation between two marks, and the same part as the table has it.
fn hold_against_doc(mark: &str, expected: &str) {
    let text = std::fs::read_to_string(DOC).unwrap();
    let (begin, end) = (format!("<!-- begin {mark} -->\n"), format!("<!-- end {mark} -->"));
    let start = text.find(&begin).unwrap() + begin.len();
    let stop = text.find(&end).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(DOC, format!("{}{expected}{}", &text[..start], &text[stop..])).unwrap();
        return;
    }
    assert_eq!(&text[start..stop], expected, "run the test with UPDATE_DOCS=1");
}

/// All parts in one test: each rewrites the same file when asked to.
#[test]
fn the_documentation_is_in_sync() {
    let mut accepted = String::from("| option | why it is ignored |\n| --- | --- |\n");
    let mut refused = String::from("| option | why it is refused |\n| --- | --- |\n");
    for row in rows() {
        match row.support {
            Support::Accepted(reason) => {
                writeln!(accepted, "| `{}` | {reason} |", row.name).unwrap();
            }
            Support::Refused(reason) => {
                writeln!(refused, "| `{}` | {reason} |", row.name).unwrap();
            }
            Support::Used => {}
        }
    }
    hold_against_doc("accepted", &accepted);
    hold_against_doc("refused", &refused);
    hold_against_doc("used", &used());
}

fn used() -> String {
    let mut text = String::new();
    for chapter in CHAPTERS {
        let rows: Vec<_> = chapter.rows.iter().filter(|row| row.support == Support::Used).collect();
        if rows.is_empty() {
            continue;
        }
        writeln!(text, "### {}\n", chapter.title).unwrap();
        writeln!(text, "| option | form | default | where | meaning |").unwrap();
        writeln!(text, "| --- | --- | --- | --- | --- |").unwrap();
        for row in rows {
            let default = row.default_for(row.commands, Flavor::Pgstrata);
            let default = default.map(|text| format!("`{text}`")).unwrap_or_default();
            let place = match row.section {
                Section::Global => "global",
                Section::Stanza => "stanza",
                Section::CommandLine => "command line",
            };
            let (name, kind, help) = (row.name, row.kind.name(), row.help);
            writeln!(text, "| `{name}` | {kind} | {default} | {place} | {help} |").unwrap();
        }
        text.push('\n');
    }
    text
}

#[test]
fn names_of_older_configurations_are_known() {
    for (old, new) in OLD_NAMES {
        assert!(row_named(old).is_none() && row_named(new).is_some(), "{old}");
        let found = find(&old.replace('N', "3")).unwrap();
        assert_eq!((found.spec.name, found.key), (new, 3));
    }
}
