//! From the texts of an option to its value, as its row of the table says.

use std::{path::PathBuf, time::Duration};

use super::{
    commands::Commands,
    quantity,
    spec::{Kind, OptionSpec},
};
use crate::types::Secret;

/// The checked value of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub(super) enum Value {
    Boolean(bool),
    Integer(i64),
    Size(u64),
    Time(Duration),
    Text(String),
    Secret(Secret),
    Path(PathBuf),
    List(Vec<String>),
    Hash(Vec<(String, String)>),
}

/// Why a text is not a value of an option, and what would be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// Goes between the value and `for '…' option`.
    pub(super) text: &'static str,
    /// What is allowed.
    pub(super) hint: Option<String>,
}

impl Problem {
    fn invalid() -> Self {
        Self { text: "is not valid", hint: None }
    }

    fn expects(hint: impl Into<String>) -> Self {
        Self { text: "is not valid", hint: Some(hint.into()) }
    }

    fn out_of_range(kind: Kind) -> Self {
        let hint = kind.range().map(|(low, high)| format!("the range is {low} to {high}."));
        Self { text: "is out of range", hint }
    }
}

/// Reads the texts given for an option; the position of the wrong text comes with the problem.
pub(super) fn parse(
    spec: &OptionSpec,
    commands: Commands,
    texts: &[String],
) -> Result<Value, (usize, Problem)> {
    match spec.kind {
        Kind::List => each(texts, |text| present(text).map(str::to_owned)).map(Value::List),
        Kind::Hash => each(texts, pair).map(Value::Hash),
        _ => {
            let text = texts.first().map_or("", String::as_str);
            single(spec, commands, text).map_err(|problem| (0, problem))
        }
    }
}

fn each<T>(
    texts: &[String],
    read: impl Fn(&str) -> Result<T, Problem>,
) -> Result<Vec<T>, (usize, Problem)> {
    texts.iter().enumerate().map(|(i, text)| read(text).map_err(|problem| (i, problem))).collect()
}

fn single(spec: &OptionSpec, commands: Commands, text: &str) -> Result<Value, Problem> {
    if spec.secret {
        return secret(text);
    }
    let text = present(text)?;
    match spec.kind {
        Kind::Boolean => boolean(text).map(Value::Boolean),
        Kind::Integer(low, high) => {
            in_range(spec.kind, integer(text)?, low, high).map(Value::Integer)
        }
        Kind::Size(low, high) => in_range(spec.kind, size(text)?, low, high).map(Value::Size),
        Kind::Time(low, high) => {
            let [low, high] = [low, high].map(Duration::from_millis);
            in_range(spec.kind, time(text)?, low, high).map(Value::Time)
        }
        Kind::Path => path(text).map(Value::Path),
        Kind::Text | Kind::Word(_) | Kind::List | Kind::Hash => {
            word(text, spec.words_for(commands)).map(|text| Value::Text(text.to_owned()))
        }
    }
}

/// One rule for a secret wherever it is written: white space at its ends does not belong to it (an INI file cannot hold
/// any there, and files that are mounted as variables end in a newline), and it is one line of printable text.
fn secret(text: &str) -> Result<Value, Problem> {
    let text = present(text.trim())?;
    match text.chars().position(char::is_control) {
        None => Ok(Value::Secret(Secret::new(text))),
        Some(at) => Err(Problem::expects(format!(
            "a secret is one line of printable text; of these {} characters, number {} is {}.",
            text.chars().count(),
            at + 1,
            control_name(text.chars().nth(at)),
        ))),
    }
}

fn control_name(control: Option<char>) -> &'static str {
    match control {
        Some('\n' | '\r') => "a line break",
        Some('\t') => "a tab",
        Some('\0') => "a NUL byte",
        _ => "a control character",
    }
}

fn present(text: &str) -> Result<&str, Problem> {
    match text {
        "" => Err(Problem { text: "is not valid", hint: Some("the value is empty.".into()) }),
        _ if text.contains('\0') => Err(Problem::invalid()),
        _ => Ok(text),
    }
}

fn boolean(text: &str) -> Result<bool, Problem> {
    match text {
        "y" => Ok(true),
        "n" => Ok(false),
        _ => Err(Problem::expects("it must be 'y' or 'n'.")),
    }
}

fn in_range<T: PartialOrd>(kind: Kind, value: T, low: T, high: T) -> Result<T, Problem> {
    if (low..=high).contains(&value) { Ok(value) } else { Err(Problem::out_of_range(kind)) }
}

fn integer(text: &str) -> Result<i64, Problem> {
    text.parse().map_err(|_| Problem::expects("it must be a whole number."))
}

fn size(text: &str) -> Result<u64, Problem> {
    quantity::size(text).ok_or_else(|| Problem::expects("a size looks like 16MiB."))
}

fn time(text: &str) -> Result<Duration, Problem> {
    let expected = "a time looks like 500ms, 90s, 31m, 2h or 7d.";
    quantity::time(text).ok_or_else(|| Problem::expects(expected))
}

fn path(text: &str) -> Result<PathBuf, Problem> {
    if !text.starts_with('/') {
        return Err(Problem::expects("the path must begin with /."));
    }
    if text.contains("//") {
        return Err(Problem::expects("the path cannot contain //."));
    }
    let trimmed = text.trim_end_matches('/');
    Ok(PathBuf::from(if trimmed.is_empty() { "/" } else { trimmed }))
}

fn word<'a>(text: &'a str, allowed: &[&str]) -> Result<&'a str, Problem> {
    if allowed.is_empty() || allowed.contains(&text) {
        return Ok(text);
    }
    let hint = Some(format!("allowed values: {}.", allowed.join(", ")));
    Err(Problem { text: "is not allowed", hint })
}

fn pair(text: &str) -> Result<(String, String), Problem> {
    match present(text)?.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.to_owned()))
        }
        _ => Err(Problem::expects("it looks like key=value.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::table::row_named;

    fn read(name: &str, text: &str) -> Result<Value, &'static str> {
        let spec = row_named(name).unwrap();
        parse(spec, Commands::RESTORE, &[text.to_owned()]).map_err(|(_, problem)| problem.text)
    }

    #[test]
    fn values_follow_their_rows() {
        assert_eq!(read("delta", "y"), Ok(Value::Boolean(true)));
        assert_eq!(read("delta", "yes"), Err("is not valid"));
        assert_eq!(read("process-max", "0"), Err("is out of range"));
        assert_eq!(read("process-max", "8"), Ok(Value::Integer(8)));
        assert_eq!(read("lock-path", "/a/b/"), Ok(Value::Path("/a/b".into())));
        assert_eq!(read("lock-path", "a"), Err("is not valid"));
        assert_eq!(read("lock-path", "/a//b"), Err("is not valid"));
        assert_eq!(read("type", "time"), Ok(Value::Text("time".into())));
        assert_eq!(read("type", "full"), Err("is not allowed"));
        assert_eq!(read("archive-timeout", "1ms"), Err("is out of range"));
        assert_eq!(read("stanza", ""), Err("is not valid"));
    }

    #[test]
    fn a_hash_keeps_equal_signs_and_order() {
        let texts = ["b=x=y".to_owned(), "a=".to_owned()];
        let value = parse(row_named("recovery-option").unwrap(), Commands::RESTORE, &texts);
        let pairs = vec![("b".into(), "x=y".into()), ("a".into(), String::new())];
        assert_eq!(value, Ok(Value::Hash(pairs)));
        assert_eq!(read("recovery-option", "x"), Err("is not valid"));
    }

    #[test]
    fn a_secret_with_a_newline_at_its_end_is_the_same_as_without() {
        let plain = read("repoN-s3-key-secret", "abc/+ d=");
        assert!(matches!(plain, Ok(Value::Secret(_))));
        for text in ["abc/+ d=\n", "abc/+ d=\r\n", " abc/+ d= ", "\tabc/+ d=\n\n"] {
            assert_eq!(read("repoN-s3-key-secret", text), plain, "{text:?}");
        }
    }

    #[test]
    fn what_is_odd_about_a_secret_is_said_without_showing_it() {
        for (text, oddity) in [
            ("abc\ndef", "of these 7 characters, number 4 is a line break."),
            ("ab\tcd", "number 3 is a tab."),
            ("ab\u{1b}[0m", "number 3 is a control character."),
            (" \n ", "the value is empty."),
        ] {
            let spec = row_named("repoN-cipher-pass").unwrap();
            let (_, problem) = parse(spec, Commands::RESTORE, &[text.to_owned()]).unwrap_err();
            let hint = problem.hint.unwrap();
            assert!(hint.contains(oddity), "{hint}");
            assert!(text.trim().is_empty() || !hint.contains(text.trim()), "{hint}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let value = read("pgN-password", "hunter2").unwrap();
        assert!(!format!("{value:?}").contains("hunter2"));
    }
}
