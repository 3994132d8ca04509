//! Identifies the archive directory of a cluster in the history of a stanza.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Invalid, PgVersion};

/// The number of a cluster in its stanza's history: 1 for the first, one more for each stanza-upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HistoryId(pub u32);

impl fmt::Display for HistoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// PostgreSQL version and history id, such as `15-1`: the directory of a cluster's WAL in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArchiveId {
    pub version: PgVersion,
    pub history_id: HistoryId,
}

impl fmt::Display for ArchiveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.version, self.history_id)
    }
}

impl FromStr for ArchiveId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid =
            || Invalid::new("archive id", text, "it is <version>-<history id>, such as 15-1");
        let (version, id) = text.split_once('-').ok_or_else(invalid)?;
        Ok(Self {
            version: version.parse().map_err(|_| invalid())?,
            history_id: HistoryId(id.parse().map_err(|_| invalid())?),
        })
    }
}

super::digest::serde_as_text!(ArchiveId);
