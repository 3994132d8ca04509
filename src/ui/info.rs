//! What `info` shows, as text and as JSON. Pure: data in, text out, so that both forms can be held
//! against samples. Monitoring parses them, hence every key and every space is part of the interface.

mod format;
mod model;
mod text;

pub use format::{human_size, human_time};
pub use model::*;

use jiff::tz::TimeZone;

/// How much to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// All backups, briefly.
    Full,
    /// One backup with everything that is known of it.
    Set,
    /// Only the status and the progress of what runs.
    Progress,
}

/// The text form; times are shown in `zone`.
pub fn to_text(stanzas: &[StanzaInfo], detail: Detail, zone: &TimeZone) -> String {
    match stanzas.is_empty() {
        true => "No stanzas exist in the repository.\n".to_owned(),
        false => text::View { stanzas, detail, zone }.to_string(),
    }
}

/// The JSON form: one line, keys in alphabetical order, no line feed at its end.
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
