//! Parses `global/pg_control` (`src/include/catalog/pg_control.h`).

use super::{u32_at, u64_at};
use crate::{
    postgres::{Error, Result},
    types::{Lsn, PgVersion, SystemId, TimeLine, WalSegmentSize},
};

const FILE: &str = "pg_control";

/// Control file version and catalog version of every release.
const RELEASES: [(u16, u32, u32); 6] = [
    (13, 1300, 202_007_201),
    (14, 1300, 202_107_181),
    (15, 1300, 202_209_061),
    (16, 1300, 202_307_071),
    (17, 1700, 202_406_281),
    (18, 1800, 202_506_291),
];

/// Offsets common to 13 to 18; only the offset of the checksum differs.
mod offset {
    pub(super) const SYSTEM_ID: usize = 0;
    pub(super) const CONTROL_VERSION: usize = 8;
    pub(super) const CATALOG_VERSION: usize = 12;
    pub(super) const STATE: usize = 16;
    pub(super) const MODIFIED: usize = 24;
    pub(super) const CHECKPOINT: usize = 32;
    pub(super) const REDO: usize = 40;
    pub(super) const TIMELINE: usize = 48;
    pub(super) const PREVIOUS_TIMELINE: usize = 52;
    pub(super) const MIN_RECOVERY_POINT: usize = 136;
    pub(super) const MIN_RECOVERY_TIMELINE: usize = 144;
    pub(super) const BACKUP_START: usize = 152;
    pub(super) const PAGE_SIZE: usize = 216;
    pub(super) const SEGMENT_BLOCKS: usize = 220;
    pub(super) const WAL_PAGE_SIZE: usize = 224;
    pub(super) const WAL_SEGMENT_SIZE: usize = 228;
    pub(super) const CHECKSUM_VERSION: usize = 252;
    pub(super) const CRC_TO_17: usize = 288;
    /// 18 has one more byte, `default_char_signedness`, before the nonce.
    pub(super) const CRC_FROM_18: usize = 292;
}

/// State of the server when it last wrote the file (`DBState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterState {
    Startup,
    /// Clean shutdown.
    ShutDown,
    /// Clean shutdown during recovery.
    ShutDownInRecovery,
    ShuttingDown,
    InCrashRecovery,
    /// In archive recovery, or running as a standby.
    InArchiveRecovery,
    InProduction,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlFile {
    pub system_id: SystemId,
    /// Derived from the control file version and the catalog version.
    pub version: PgVersion,
    /// `pg_control_version`, such as 1300.
    pub control_version: u32,
    /// `catalog_version_no`, such as 202209061.
    pub catalog_version: u32,
    pub state: ClusterState,
    /// Time of the last write, seconds since 1970.
    pub modified: i64,
    /// Position of the last checkpoint record.
    pub checkpoint: Lsn,
    /// Redo position of that checkpoint.
    pub redo: Lsn,
    pub timeline: TimeLine,
    /// The previous timeline. Differs from `timeline` only in the first checkpoint of a timeline.
    pub previous_timeline: TimeLine,
    /// `minRecoveryPoint`: recovery must reach it before the cluster is consistent. Zero outside recovery.
    pub min_recovery_point: Lsn,
    pub min_recovery_timeline: TimeLine,
    /// `backupStartPoint`: start of the backup during recovery from it; zero otherwise.
    pub backup_start: Lsn,
    /// In bytes.
    pub page_size: u32,
    /// Pages per segment file of a relation (`RELSEG_SIZE`).
    pub segment_blocks: u32,
    /// In bytes.
    pub wal_page_size: u32,
    pub wal_segment_size: WalSegmentSize,
    /// `data_checksum_version`; 0 without page checksums.
    pub checksum_version: u32,
}

impl ControlFile {
    pub const PATH: &'static str = "global/pg_control";
    /// The greatest length in bytes; the server writes 8 KiB (`PG_CONTROL_FILE_SIZE`).
    pub const BYTES_MAX: u64 = 64 << 10;
    /// Number of bytes that [`Self::parse`] needs. The file is padded to 8 KiB.
    pub const READ_BYTES: usize = 512;

    /// Verifies the checksum and parses the first bytes of the file.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        Self::fields(bytes).unwrap_or_else(|| {
            Err(Error::format(FILE, format!("{} bytes are too few", bytes.len())))
        })
    }

    pub fn page_checksums(&self) -> bool {
        self.checksum_version != 0
    }

    /// `None` if the bytes end before.
    fn fields(bytes: &[u8]) -> Option<Result<Self>> {
        let lsn = |at| u64_at(bytes, at).map(Lsn);
        let timeline = |at| u32_at(bytes, at).map(TimeLine);
        let control_version = u32_at(bytes, offset::CONTROL_VERSION)?;
        let catalog_version = u32_at(bytes, offset::CATALOG_VERSION)?;
        let version = match version_of(control_version, catalog_version) {
            Ok(version) => version,
            Err(error) => return Some(Err(error)),
        };
        if let Err(error) = verify_crc(bytes, version)? {
            return Some(Err(error));
        }
        let state = match cluster_state(u32_at(bytes, offset::STATE)?) {
            Ok(state) => state,
            Err(error) => return Some(Err(error)),
        };
        let wal_segment_size = match WalSegmentSize::new(u32_at(bytes, offset::WAL_SEGMENT_SIZE)?) {
            Ok(size) => size,
            Err(error) => return Some(Err(Error::format(FILE, error.to_string()))),
        };
        Some(Ok(Self {
            system_id: SystemId(u64_at(bytes, offset::SYSTEM_ID)?),
            version,
            control_version,
            catalog_version,
            state,
            modified: u64_at(bytes, offset::MODIFIED)? as i64,
            checkpoint: lsn(offset::CHECKPOINT)?,
            redo: lsn(offset::REDO)?,
            timeline: timeline(offset::TIMELINE)?,
            previous_timeline: timeline(offset::PREVIOUS_TIMELINE)?,
            min_recovery_point: lsn(offset::MIN_RECOVERY_POINT)?,
            min_recovery_timeline: timeline(offset::MIN_RECOVERY_TIMELINE)?,
            backup_start: lsn(offset::BACKUP_START)?,
            page_size: u32_at(bytes, offset::PAGE_SIZE)?,
            segment_blocks: u32_at(bytes, offset::SEGMENT_BLOCKS)?,
            wal_page_size: u32_at(bytes, offset::WAL_PAGE_SIZE)?,
            wal_segment_size,
            checksum_version: u32_at(bytes, offset::CHECKSUM_VERSION)?,
        }))
    }
}

/// The catalog version, the same for all releases of a major version; `None` for a version without a release.
pub fn catalog_version_of(version: PgVersion) -> Option<u32> {
    let release = RELEASES.iter().find(|(major, ..)| *major == version.major());
    release.map(|(_, _, catalog)| *catalog)
}

/// The major version with these two version numbers.
pub(in crate::postgres) fn version_of(
    control_version: u32,
    catalog_version: u32,
) -> Result<PgVersion> {
    let known = RELEASES
        .iter()
        .find(|(_, control, catalog)| (*control, *catalog) == (control_version, catalog_version));
    known.and_then(|(major, ..)| PgVersion::new(*major).ok()).ok_or_else(|| {
        Error::Version(format!(
            "with control version {control_version} and catalog version {catalog_version}"
        ))
    })
}

fn verify_crc(bytes: &[u8], version: PgVersion) -> Option<Result<()>> {
    let at = if version.major() >= 18 { offset::CRC_FROM_18 } else { offset::CRC_TO_17 };
    let expected = u32_at(bytes, at)?;
    let found = crc32c::crc32c(&bytes[..at]);
    Some(if found == expected {
        Ok(())
    } else {
        Err(Error::Checksum {
            file: FILE,
            reason: format!("its CRC-32C is {found:08x} and should be {expected:08x}"),
        })
    })
}

fn cluster_state(number: u32) -> Result<ClusterState> {
    Ok(match number {
        0 => ClusterState::Startup,
        1 => ClusterState::ShutDown,
        2 => ClusterState::ShutDownInRecovery,
        3 => ClusterState::ShuttingDown,
        4 => ClusterState::InCrashRecovery,
        5 => ClusterState::InArchiveRecovery,
        6 => ClusterState::InProduction,
        _ => return Err(Error::format(FILE, format!("{number} is not a state"))),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The first bytes of the file written by initdb of each version.
    const CAPTURED: [(u16, &[u8], u64); 6] = [
        (13, include_bytes!("../../../fixtures/postgres/pg_control-13"), SYSTEM_ID_13),
        (14, include_bytes!("../../../fixtures/postgres/pg_control-14"), SYSTEM_ID_14),
        (15, include_bytes!("../../../fixtures/postgres/pg_control-15"), SYSTEM_ID_15),
        (16, include_bytes!("../../../fixtures/postgres/pg_control-16"), SYSTEM_ID_16),
        (17, include_bytes!("../../../fixtures/postgres/pg_control-17"), SYSTEM_ID_17),
        (18, include_bytes!("../../../fixtures/postgres/pg_control-18"), SYSTEM_ID_18),
    ];
    const SYSTEM_ID_13: u64 = 7_710_589_112_624_694_675;
    const SYSTEM_ID_14: u64 = 7_710_589_118_703_703_507;
    const SYSTEM_ID_15: u64 = 7_710_589_124_815_058_522;
    const SYSTEM_ID_16: u64 = 7_710_589_129_947_137_686;
    const SYSTEM_ID_17: u64 = 7_710_589_136_226_350_806;
    const SYSTEM_ID_18: u64 = 7_710_589_141_908_576_017;

    #[test]
    fn every_version_of_the_file() {
        for (major, bytes, system_id) in CAPTURED {
            let control = ControlFile::parse(bytes).unwrap();
            assert_eq!(control.version.major(), major);
            assert_eq!(control.system_id, SystemId(system_id));
            assert_eq!(control.state, ClusterState::ShutDown);
            assert_eq!(control.checkpoint, control.redo);
            assert_eq!(control.timeline, TimeLine::FIRST);
            assert_eq!((control.page_size, control.segment_blocks), (8192, 131_072));
            assert_eq!(control.wal_segment_size, WalSegmentSize::DEFAULT);
            assert!(control.page_checksums());
        }
        let control = ControlFile::parse(CAPTURED[2].1).unwrap();
        assert_eq!(control.checkpoint.to_string(), "0/17414D0");
    }

    #[test]
    fn every_supported_version_has_a_catalog_version() {
        for major in PgVersion::OLDEST.major()..=PgVersion::NEWEST.major() {
            assert!(catalog_version_of(PgVersion::new(major).unwrap()).is_some(), "{major}");
        }
        for (_, bytes, _) in CAPTURED {
            let control = ControlFile::parse(bytes).unwrap();
            assert_eq!(catalog_version_of(control.version), Some(control.catalog_version));
        }
    }

    #[test]
    fn a_flipped_bit_is_found() {
        for (_, bytes, _) in CAPTURED {
            for at in 0..288 {
                let mut damaged = bytes.to_vec();
                damaged[at] ^= 1;
                assert!(ControlFile::parse(&damaged).is_err(), "byte {at}");
            }
        }
    }

    #[test]
    fn a_short_file_is_an_error() {
        for length in 0..290 {
            assert!(ControlFile::parse(&CAPTURED[2].1[..length]).is_err(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = ControlFile::parse(&bytes);
        }
    }
}
