//! The long page header at the start of every WAL segment (`src/include/access/xlog_internal.h`). It identifies the
//! cluster, timeline and position of a segment independently of its name.

use super::{u16_at, u32_at, u64_at};
use crate::{
    postgres::{Error, Result},
    types::{Lsn, PgVersion, SystemId, TimeLine, WalSegment, WalSegmentSize},
};

const FILE: &str = "WAL segment";

/// `XLOG_PAGE_MAGIC` of each version.
const MAGIC: [(u16, u16); 6] =
    [(13, 0xD106), (14, 0xD10D), (15, 0xD110), (16, 0xD113), (17, 0xD116), (18, 0xD118)];

/// `XLP_LONG_HEADER`.
const LONG_HEADER: u16 = 0x0002;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalHeader {
    /// Derived from the magic number.
    pub version: PgVersion,
    pub system_id: SystemId,
    pub timeline: TimeLine,
    /// Position of the first byte of the segment.
    pub page_address: Lsn,
    pub segment_size: WalSegmentSize,
    /// In bytes.
    pub page_size: u32,
}

impl WalHeader {
    /// In bytes.
    pub const LENGTH: usize = 40;

    /// Parses the first bytes of a segment.
    pub fn check(bytes: &[u8]) -> Result<Self> {
        if bytes.len() < Self::LENGTH {
            return Err(Error::format(FILE, "it is shorter than its header"));
        }
        if bytes[..Self::LENGTH].iter().all(|&b| b == 0) {
            return Err(Error::format(FILE, "it begins with zeros: nothing was written to it"));
        }
        Self::fields(bytes).unwrap_or_else(|| Err(Error::format(FILE, "its header is short")))
    }

    fn fields(bytes: &[u8]) -> Option<Result<Self>> {
        let magic = u16_at(bytes, 0)?;
        let Some(version) = version_of(magic) else {
            return Some(Err(Error::format(
                FILE,
                format!("its magic number 0x{magic:04X} is not one of PostgreSQL 13 to 18"),
            )));
        };
        if u16_at(bytes, 2)? & LONG_HEADER == 0 {
            return Some(Err(Error::format(FILE, "it does not begin with a long header")));
        }
        let segment_size = match WalSegmentSize::new(u32_at(bytes, 32)?) {
            Ok(size) => size,
            Err(error) => return Some(Err(Error::format(FILE, error.to_string()))),
        };
        Some(Ok(Self {
            version,
            timeline: TimeLine(u32_at(bytes, 4)?),
            page_address: Lsn(u64_at(bytes, 8)?),
            system_id: SystemId(u64_at(bytes, 24)?),
            segment_size,
            page_size: u32_at(bytes, 36)?,
        }))
    }

    /// Checks that the header belongs to a segment of this name. A header with an older timeline is valid: the first
    /// segment of a timeline begins with pages copied from the previous timeline.
    pub fn check_name(&self, name: WalSegment) -> Result<()> {
        let expected = name.start(self.segment_size);
        let mismatch = |what: String| Err(Error::format(FILE, format!("{name} {what}")));
        if !name.fits(self.segment_size) {
            return mismatch(format!(
                "cannot be a name where segments have {} bytes",
                self.segment_size.bytes()
            ));
        }
        if self.page_address != expected {
            return mismatch(format!(
                "begins at {} and should begin at {expected}: it was recycled or renamed",
                self.page_address
            ));
        }
        if self.timeline > name.timeline {
            return mismatch(format!("holds WAL of the later timeline {}", self.timeline));
        }
        Ok(())
    }
}

fn version_of(magic: u16) -> Option<PgVersion> {
    let (major, _) = MAGIC.iter().find(|(_, known)| *known == magic)?;
    PgVersion::new(*major).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CAPTURED: [(u16, &[u8]); 6] = [
        (13, include_bytes!("../../../fixtures/postgres/wal_header-13")),
        (14, include_bytes!("../../../fixtures/postgres/wal_header-14")),
        (15, include_bytes!("../../../fixtures/postgres/wal_header-15")),
        (16, include_bytes!("../../../fixtures/postgres/wal_header-16")),
        (17, include_bytes!("../../../fixtures/postgres/wal_header-17")),
        (18, include_bytes!("../../../fixtures/postgres/wal_header-18")),
    ];

    #[test]
    fn every_version_of_the_header() {
        for (major, bytes) in CAPTURED {
            let header = WalHeader::check(bytes).unwrap();
            assert_eq!(header.version.major(), major);
            assert_eq!(header.timeline, TimeLine::FIRST);
            assert_eq!(header.page_address, Lsn(16 << 20));
            assert_eq!(header.segment_size, WalSegmentSize::DEFAULT);
            assert_eq!(header.page_size, 8192);
            header.check_name("000000010000000000000001".parse().unwrap()).unwrap();
        }
        let header = WalHeader::check(CAPTURED[2].1).unwrap();
        assert_eq!(header.system_id, SystemId(7_710_589_124_815_058_522));
    }

    #[test]
    fn a_name_must_fit() {
        let header = WalHeader::check(CAPTURED[2].1).unwrap();
        let check = |name: &str| header.check_name(name.parse().unwrap());
        check("000000020000000000000001").unwrap();
        for name in
            ["000000010000000000000002", "000000000000000000000001", "000000010000000000000101"]
        {
            assert!(check(name).is_err(), "{name}");
        }
    }

    #[test]
    fn what_is_not_a_segment_is_refused() {
        assert!(WalHeader::check(&[]).is_err());
        assert!(WalHeader::check(&[0; 8192]).is_err());
        let mut other = CAPTURED[2].1.to_vec();
        other[0] = 0;
        assert!(WalHeader::check(&other).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(
            bytes in proptest::collection::vec(any::<u8>(), 0..80),
            magic in 0_usize..6,
        ) {
            let mut bytes = bytes;
            bytes.splice(..2.min(bytes.len()), MAGIC[magic].1.to_le_bytes());
            if let Ok(header) = WalHeader::check(&bytes) {
                let _ = header.check_name("000000010000000000000001".parse().unwrap());
            }
        }
    }
}
