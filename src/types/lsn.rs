//! A position in the write-ahead log.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::Invalid;

/// A byte position in the write-ahead log (PostgreSQL's `XLogRecPtr`), written `HHHHHHHH/LLLLLLLL`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl FromStr for Lsn {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |reason| Invalid::new("LSN", text, reason);
        let (high, low) = text.split_once('/').ok_or_else(|| invalid("there is no '/'"))?;
        let part = |hex: &str| {
            let valid = (1..=8).contains(&hex.len()) && hex.bytes().all(|b| b.is_ascii_hexdigit());
            valid.then(|| u64::from_str_radix(hex, 16).ok()).flatten()
        };
        match (part(high), part(low)) {
            (Some(high), Some(low)) => Ok(Self(high << 32 | low)),
            _ => Err(invalid("each side of '/' is one to eight hexadecimal digits")),
        }
    }
}

super::digest::serde_as_text!(Lsn);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trip() {
        for text in ["0/0", "0/4000028", "16/B374D848", "FFFFFFFF/FFFFFFFF"] {
            assert_eq!(text.parse::<Lsn>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_not_an_lsn() {
        for text in ["", "0", "/", "0/", "/0", "0/123456789", "0/-1", "x/0", "0/0/0", "+1/0"] {
            assert!(text.parse::<Lsn>().is_err(), "{text}");
        }
    }
}
