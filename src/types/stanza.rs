//! The name of a stanza.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::Invalid;

/// Maximum length: the name is part of the file names of locks and logs.
const LENGTH_MAX: usize = 200;

/// The name of a cluster's backups and WAL, a directory name in the repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StanzaName(String);

impl StanzaName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StanzaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for StanzaName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |reason| Err(Invalid::new("stanza name", text, reason));
        // Not allowed: ':' separates stanza and command in the name of a configuration section, which is enclosed in
        // brackets.
        let allowed = |c: char| !c.is_control() && !matches!(c, '/' | '\\' | ':' | '[' | ']');
        match text {
            "" => invalid("it is empty"),
            _ if text.len() > LENGTH_MAX => invalid("it is longer than 200 bytes"),
            _ if text.starts_with('.') => invalid("it starts with '.'"),
            "global" => invalid("the name is taken by the configuration"),
            _ if text.trim() != text => invalid("it begins or ends with a space"),
            _ if !text.chars().all(allowed) => {
                invalid("no control character and none of / \\ : [ ] may be in it")
            }
            _ => Ok(Self(text.to_owned())),
        }
    }
}

super::digest::serde_as_text!(StanzaName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_existing_configurations_are_taken() {
        let long = "x".repeat(200);
        for name in ["db", "global_qa", "main@prod", "my db", "a+b=c,d", "-x", "käse", &long] {
            assert_eq!(name.parse::<StanzaName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn names_that_are_no_directory_or_no_section_are_refused() {
        let long = "x".repeat(201);
        for name in ["", ".", "..", ".tmp-1", "a/b", "a:b", "a]b", "a\nb", " a", "global", &long] {
            assert!(name.parse::<StanzaName>().is_err(), "{name}");
        }
    }
}
