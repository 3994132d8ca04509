//! PostgreSQL major versions.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::Invalid;

/// A supported major version of PostgreSQL: 13 to 18.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PgVersion(u16);

impl PgVersion {
    pub const OLDEST: Self = Self(13);
    pub const NEWEST: Self = Self(18);

    pub fn new(major: u16) -> Result<Self, Invalid> {
        if (Self::OLDEST.0..=Self::NEWEST.0).contains(&major) {
            Ok(Self(major))
        } else {
            Err(Invalid::new("PostgreSQL version", &major.to_string(), "13 to 18 are supported"))
        }
    }

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
