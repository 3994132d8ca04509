//! Names of files that PostgreSQL passes to `archive_command` and `restore_command`.

use std::{fmt, str::FromStr};

use super::{Invalid, TimeLine, WalSegment};

/// A file of the WAL archive, by PostgreSQL's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ArchiveFile {
    Segment(WalSegment),
    /// The last segment of the old timeline at a promotion, up to the switch point.
    Partial(WalSegment),
    /// A timeline history file.
    History(TimeLine),
    /// A backup history file, named by the first segment of the backup and the offset in it.
    BackupHistory(WalSegment, u32),
}

impl ArchiveFile {
    /// The segment in the name, if any.
    pub fn segment(self) -> Option<WalSegment> {
        match self {
            Self::Segment(segment) | Self::Partial(segment) | Self::BackupHistory(segment, _) => {
                Some(segment)
            }
            Self::History(_) => None,
        }
    }

    /// Whether the file begins with the header of a WAL segment, which identifies the cluster.
    pub fn has_header(self) -> bool {
        matches!(self, Self::Segment(_) | Self::Partial(_))
    }
}

impl fmt::Display for ArchiveFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment(segment) => segment.fmt(f),
            Self::Partial(segment) => write!(f, "{segment}.partial"),
            Self::History(timeline) => f.write_str(&timeline.history_file_name()),
            Self::BackupHistory(segment, offset) => write!(f, "{segment}.{offset:08X}.backup"),
        }
    }
}

fn hex8(text: &str) -> Option<u32> {
    let upper = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
    (text.len() == 8 && text.bytes().all(upper))
        .then(|| u32::from_str_radix(text, 16).ok())
        .flatten()
}

impl FromStr for ArchiveFile {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || {
            Invalid::new(
                "WAL archive file name",
                text,
                "it is a WAL segment, or ends in .partial, .history or .backup",
            )
        };
        let mut parts = text.split('.');
        match (parts.next().unwrap_or_default(), parts.next(), parts.next(), parts.next()) {
            (name, None, None, None) => name.parse().map(Self::Segment).map_err(|_| invalid()),
            (name, Some("partial"), None, None) => {
                name.parse().map(Self::Partial).map_err(|_| invalid())
            }
            (name, Some("history"), None, None) => {
                hex8(name).map(|id| Self::History(TimeLine(id))).ok_or_else(invalid)
            }
            (name, Some(offset), Some("backup"), None) => match (name.parse(), hex8(offset)) {
                (Ok(segment), Some(offset)) => Ok(Self::BackupHistory(segment, offset)),
                _ => Err(invalid()),
            },
            _ => Err(invalid()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_name_survives_a_round_trip() {
        for text in [
            "000000010000000000000001",
            "000000010000000000000001.partial",
            "00000002.history",
            "000000010000000000000002.00000028.backup",
        ] {
            assert_eq!(text.parse::<ArchiveFile>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", ".", "x", "2.history", "00000002.history.x", "../00000002.history", "RECOVERYXLOG"]
        {
            assert!(text.parse::<ArchiveFile>().is_err(), "{text}");
        }
    }
}
