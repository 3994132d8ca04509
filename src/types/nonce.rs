//! Random bits that distinguish writers.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Invalid, digest::serde_as_text};

/// 128 random bits that identify the writer of an object independently of host, process and clock. The text form is 32
/// lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce([u8; 16]);

impl Nonce {
    pub fn random() -> Self {
        Self(rand::random())
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nonce({self})")
    }
}

impl FromStr for Nonce {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut bytes = [0; 16];
        let lower = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if lower && hex::decode_to_slice(text, &mut bytes).is_ok() {
            Ok(Self(bytes))
        } else {
            Err(Invalid::new("nonce", text, "it is written as 32 lower-case hexadecimal digits"))
        }
    }
}

serde_as_text!(Nonce);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_is_read_back_and_no_other() {
        let nonce = Nonce::random();
        assert_eq!(nonce.to_string().parse(), Ok(nonce));
        assert_ne!(nonce, Nonce::random());
        for text in ["", "00", &"0".repeat(31), &"G".repeat(32), &"A".repeat(32)] {
            assert!(text.parse::<Nonce>().is_err(), "{text}");
        }
    }
}
