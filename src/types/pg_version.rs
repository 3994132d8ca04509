//! PostgreSQL major versions.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::Invalid;

/// A major version of PostgreSQL that is supported: 13 to 18.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PgVersion(u16);

impl PgVersion {
    /// The oldest version that can be backed up.
    pub const OLDEST: Self = Self(13);
    /// The newest version that can be backed up.
    pub const NEWEST: Self = Self(18);

    /// Checks a major version number.
    pub fn new(major: u16) -> Result<Self, Invalid> {
        match (Self::OLDEST.0..=Self::NEWEST.0).contains(&major) {
            true => Ok(Self(major)),
            false => Err(Invalid::new(
                "PostgreSQL version",
                &major.to_string(),
                "13 to 18 are supported",
            )),
        }
    }

    /// The major version as a number, to compare with.
    pub const fn major(self) -> u16 {
        self.0
    }
}

impl fmt::Display for PgVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for PgVersion {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |_| Invalid::new("PostgreSQL version", text, "13 to 18 are supported");
        text.parse().map_err(invalid).and_then(Self::new)
    }
}

super::digest::serde_as_text!(PgVersion);
