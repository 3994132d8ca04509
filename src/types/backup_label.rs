//! Backup labels: sortable names with the time of a backup, its type, and the full backup it depends on.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Invalid, words::impl_words};

/// The type of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackupType {
    /// All files.
    Full,
    /// Changes since the last full backup.
    Diff,
    /// Changes since the last backup of any type.
    Incr,
}

impl_words!(BackupType ("backup type") { Full = "full", Diff = "diff", Incr = "incr", });

/// The name of a backup: `YYYYMMDD-HHMMSSF` for a full, `<full>_YYYYMMDD-HHMMSSD` (or `I`) for a differential or
/// incremental. The time is the start of the backup in the host's time zone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BackupLabel {
    text: String,
    kind: BackupType,
}

const STAMP_LEN: usize = 15;
const FULL_LEN: usize = STAMP_LEN + 1;

impl BackupLabel {
    /// The label of a full backup; `stamp` has the form `YYYYMMDD-HHMMSS`.
    pub fn full(stamp: &str) -> Result<Self, Invalid> {
        format!("{stamp}F").parse()
    }

    pub fn dependent(full: &BackupLabel, kind: BackupType, stamp: &str) -> Result<Self, Invalid> {
        let letter = if kind == BackupType::Diff { 'D' } else { 'I' };
        format!("{}_{stamp}{letter}", full.full_label()).parse()
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn kind(&self) -> BackupType {
        self.kind
    }

    /// The label of the full backup: this one or the one it depends on.
    pub fn full_label(&self) -> &str {
        &self.text[..FULL_LEN]
    }

    /// The time of this backup, `YYYYMMDD-HHMMSS`, which sorts backups by creation.
    pub fn stamp(&self) -> &str {
        let end = self.text.len() - 1;
        &self.text[end - STAMP_LEN..end]
    }
}

impl PartialOrd for BackupLabel {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for BackupLabel {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.stamp(), &self.text).cmp(&(other.stamp(), &other.text))
    }
}

impl fmt::Display for BackupLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_stamp(text: &str) -> bool {
    text.len() == STAMP_LEN
        && text
            .bytes()
            .enumerate()
            .all(|(i, b)| if i == 8 { b == b'-' } else { b.is_ascii_digit() })
}

impl FromStr for BackupLabel {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let full = |part: &str| part.strip_suffix('F').is_some_and(is_stamp);
        let kind = match text.split_once('_') {
            None if full(text) => Some(BackupType::Full),
            Some((prior, own)) if full(prior) => {
                match (own.strip_suffix('D'), own.strip_suffix('I')) {
                    (Some(stamp), _) if is_stamp(stamp) => Some(BackupType::Diff),
                    (_, Some(stamp)) if is_stamp(stamp) => Some(BackupType::Incr),
                    _ => None,
                }
            }
            _ => None,
        };
        match kind {
            Some(kind) => Ok(Self { text: text.to_owned(), kind }),
            None => Err(Invalid::new(
                "backup label",
                text,
                "it looks like 20261121-092452F or 20261121-092452F_20261121-103000D",
            )),
        }
    }
}

super::digest::serde_as_text!(BackupLabel);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_sort_by_their_own_time() {
        let full: BackupLabel = "20261121-092452F".parse().unwrap();
        let diff = BackupLabel::dependent(&full, BackupType::Diff, "20261123-000000").unwrap();
        let next: BackupLabel = "20261122-000000F".parse().unwrap();
        assert!(full < next && next < diff);
        assert_eq!(diff.full_label(), full.as_str());
        assert_eq!(diff.kind(), BackupType::Diff);
    }

    #[test]
    fn refuses_what_is_not_a_label() {
        for text in ["", "latest", "20261121-092452", "20261121-092452D", "20261121-092452F_x", "é"]
        {
            assert!(text.parse::<BackupLabel>().is_err(), "{text}");
        }
    }
}
