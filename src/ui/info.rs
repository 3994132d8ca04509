//! The output of `info`, as text and as JSON. Pure functions, tested against samples. Monitoring parses the output, so
//! every key and space is part of the interface.

mod format;
mod model;
mod text;

pub use format::{human_size, human_time};
pub use model::*;

use jiff::tz::TimeZone;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// A summary of all backups.
    Full,
    /// All details of one backup.
    Set,
    /// Only the status and the progress of running commands.
    Progress,
}

/// The text output, with times in `zone`.
pub fn to_text(stanzas: &[StanzaInfo], detail: Detail, zone: &TimeZone) -> String {
    if stanzas.is_empty() {
        "No stanzas exist in the repository.\n".to_owned()
    } else {
        text::View { stanzas, detail, zone }.to_string()
    }
}

/// The JSON output: one line without line feed, keys in alphabetical order.
pub fn to_json(stanzas: &[StanzaInfo], detail: Detail) -> Result<String, serde_json::Error> {
    match detail {
        Detail::Full | Detail::Set => serde_json::to_string(stanzas),
        Detail::Progress => {
            let brief: Vec<_> = stanzas.iter().map(StanzaInfo::progress).collect();
            serde_json::to_string(&brief)
        }
    }
}

#[cfg(test)]
mod tests;
