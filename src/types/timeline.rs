//! A timeline of the write-ahead log.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A timeline ID. The first timeline of a cluster is 1; every promotion creates a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TimeLine(pub u32);

impl TimeLine {
    /// The timeline of initdb, the only one without a history file.
    pub const FIRST: Self = Self(1);

    /// The name of the timeline's history file, such as `00000002.history`.
    pub fn history_file_name(self) -> String {
        format!("{:08X}.history", self.0)
    }
}

impl fmt::Display for TimeLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
