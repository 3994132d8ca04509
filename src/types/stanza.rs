//! The name of a stanza.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::Invalid;

/// The name under which a cluster's backups and WAL are kept; it is a directory name in the repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StanzaName(String);

impl StanzaName {
    /// The name as text.
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
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        match text {
            "" => invalid("it is empty"),
            _ if text.len() > 128 => invalid("it is longer than 128 bytes"),
            _ if text.starts_with(['.', '-']) => invalid("it starts with '.' or '-'"),
            _ if text == "global" => invalid("the name is taken by the configuration"),
            _ if !text.chars().all(allowed) => {
                invalid("only letters, digits, '-', '_' and '.' are allowed")
            }
            _ => Ok(Self(text.to_owned())),
        }
    }
}

super::digest::serde_as_text!(StanzaName);
