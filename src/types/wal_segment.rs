//! WAL segments: size, number and 24-digit name.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Invalid, Lsn, TimeLine};

/// The size of a cluster's WAL segments in bytes: a power of two from 1 MiB to 1 GiB (`initdb --wal-segsize`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct WalSegmentSize(u32);

impl WalSegmentSize {
    /// The default of initdb.
    pub const DEFAULT: Self = Self(16 << 20);

    pub fn new(bytes: u32) -> Result<Self, Invalid> {
        if bytes.is_power_of_two() && (1 << 20..=1 << 30).contains(&bytes) {
            Ok(Self(bytes))
        } else {
            Err(Invalid::new(
                "WAL segment size",
                &bytes.to_string(),
                "it is a power of two from 1 MiB to 1 GiB",
            ))
        }
    }

    pub const fn bytes(self) -> u64 {
        self.0 as u64
    }

    /// Number of segments with the same middle eight digits of the name.
    pub const fn segments_per_xlog_id(self) -> u64 {
        (1 << 32) / self.bytes()
    }
}

impl TryFrom<u32> for WalSegmentSize {
    type Error = Invalid;
    fn try_from(bytes: u32) -> Result<Self, Invalid> {
        Self::new(bytes)
    }
}

impl From<WalSegmentSize> for u32 {
    fn from(size: WalSegmentSize) -> u32 {
        size.0
    }
}

/// The name of a WAL segment: timeline and the two halves of its number, as in `000000010000000A000000FF`. The segment
/// size is needed to compute the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WalSegment {
    pub timeline: TimeLine,
    high: u32,
    low: u32,
}

impl WalSegment {
    /// The segment with the byte at `lsn`.
    pub fn containing(lsn: Lsn, timeline: TimeLine, size: WalSegmentSize) -> Self {
        Self::from_number(lsn.0 / size.bytes(), timeline, size)
    }

    /// The segment with the last byte before `lsn`: the last one that a backup ending at `lsn` needs.
    pub fn ending_at(lsn: Lsn, timeline: TimeLine, size: WalSegmentSize) -> Self {
        Self::containing(Lsn(lsn.0.saturating_sub(1)), timeline, size)
    }

    /// The segment with this number, counted from the start of the WAL.
    pub fn from_number(number: u64, timeline: TimeLine, size: WalSegmentSize) -> Self {
        let per_id = size.segments_per_xlog_id();
        Self { timeline, high: (number / per_id) as u32, low: (number % per_id) as u32 }
    }

    /// The number of the segment, counted from the start of the WAL.
    pub fn number(self, size: WalSegmentSize) -> u64 {
        u64::from(self.high) * size.segments_per_xlog_id() + u64::from(self.low)
    }

    pub fn start(self, size: WalSegmentSize) -> Lsn {
        Lsn(self.number(size) * size.bytes())
    }

    /// The next segment on the same timeline.
    pub fn next(self, size: WalSegmentSize) -> Self {
        Self::from_number(self.number(size) + 1, self.timeline, size)
    }

    pub fn on(self, timeline: TimeLine) -> Self {
        Self { timeline, ..self }
    }

    /// Whether the name is possible with this segment size.
    pub fn fits(self, size: WalSegmentSize) -> bool {
        u64::from(self.low) < size.segments_per_xlog_id()
    }

    /// The first 16 digits of the name: the directory of the segment in an archive.
    pub fn directory(self) -> String {
        format!("{:08X}{:08X}", self.timeline.0, self.high)
    }
}

impl fmt::Display for WalSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}{:08X}{:08X}", self.timeline.0, self.high, self.low)
    }
}

impl std::str::FromStr for WalSegment {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let upper = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
        if text.len() != 24 || !text.bytes().all(upper) {
            return Err(Invalid::new(
                "WAL segment name",
                text,
                "it is 24 upper-case hexadecimal digits",
            ));
        }
        let part = |from: usize| u32::from_str_radix(&text[from..from + 8], 16).unwrap_or_default();
        Ok(Self { timeline: TimeLine(part(0)), high: part(8), low: part(16) })
    }
}

super::digest::serde_as_text!(WalSegment);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_segment_size() {
        let tl = TimeLine(1);
        let default = WalSegmentSize::DEFAULT;
        let segment = WalSegment::containing(Lsn(0x1_0000_0000), tl, default);
        assert_eq!(segment.to_string(), "000000010000000100000000");
        assert_eq!(
            WalSegment::ending_at(Lsn(0x1_0000_0000), tl, default).to_string(),
            "0000000100000000000000FF"
        );
        let gib = WalSegmentSize::new(1 << 30).unwrap();
        assert_eq!(
            WalSegment::ending_at(Lsn(0x1_0000_0000), tl, gib).to_string(),
            "000000010000000000000003"
        );
        assert_eq!(segment.number(default), 256);
        assert_eq!(
            "0000000100000000000000FF".parse::<WalSegment>().unwrap().next(default),
            segment
        );
    }

    #[test]
    fn refuses_names_that_are_not_segments() {
        for text in
            ["", "00000001000000000000000g", "00000001000000000000000a", "é0000000000000000000000"]
        {
            assert!(text.parse::<WalSegment>().is_err(), "{text}");
        }
    }
}
