//! WAL records that distinguish the WAL of two servers that write segments of the same names: the record at the end of a
//! backup, which contains its start position, and the checkpoint record, which contains its redo position
//! (`XLOG_BACKUP_END` and `CheckPoint` in `src/include/catalog/pg_control.h`).

use super::{bytes_at, u32_at};
use crate::types::Lsn;

/// Size of the record header (`XLogRecord`); `xl_info` is at offset 16 and `xl_rmid` at 17.
const HEADER: usize = 24;
/// Header, a short data header, and the position.
const LENGTH: usize = HEADER + 2 + 8;
const ALIGNED: usize = LENGTH.next_multiple_of(8);
/// Size of the record in the WAL: records are aligned to 8 bytes.
pub const BACKUP_END_LENGTH: u64 = ALIGNED as u64;
const INFO: u8 = 0x50;
const RESOURCE_MANAGER: u8 = 0;
/// `XLR_BLOCK_ID_DATA_SHORT` and the length of the data.
const SHORT_DATA: [u8; 2] = [255, 8];

/// The page size of WAL (`XLOG_BLCKSZ`).
const PAGE: u64 = 8192;
/// Sizes of the short page header and of the long one on the first page of a segment.
const PAGE_HEADER: u64 = 24;
const FIRST_PAGE_HEADER: u64 = 40;

/// The bytes of a segment from offset `at` on, without page headers.
pub fn wal_records(bytes: &[u8], at: u64) -> Vec<u8> {
    let is_record = |offset: u64| {
        if offset < PAGE { offset >= FIRST_PAGE_HEADER } else { offset % PAGE >= PAGE_HEADER }
    };
    let of_records = (at..).zip(bytes).filter(|(offset, _)| is_record(*offset));
    of_records.map(|(_, byte)| *byte).collect()
}

/// The start position in the backup end record at the end of `records` (see [`wal_records`]); `None` if they end with
/// another record.
pub fn backup_end(records: &[u8]) -> Option<Lsn> {
    let record = &records[records.len().checked_sub(ALIGNED)?..];
    let is_end = u32_at(record, 0)? as usize == LENGTH
        && record[16] & 0xf0 == INFO
        && record[17] == RESOURCE_MANAGER
        && record[HEADER..HEADER + 2] == SHORT_DATA;
    is_end.then(|| bytes_at(record, HEADER + 2).map(|lsn| Lsn(u64::from_le_bytes(lsn))))?
}

/// Bytes of a checkpoint record up to the end of its redo position.
pub const CHECKPOINT_START_LENGTH: usize = HEADER + 2 + 8;
const XLOG_CHECKPOINT_SHUTDOWN: u8 = 0x00;
const XLOG_CHECKPOINT_ONLINE: u8 = 0x10;
/// `XLR_BLOCK_ID_DATA_SHORT`.
const SHORT_DATA_ID: u8 = 255;

/// The redo position of the checkpoint record that `records` (see [`wal_records`]) begin with; `None` if they begin with
/// another record.
pub fn checkpoint_redo(records: &[u8]) -> Option<Lsn> {
    let record = records.get(..CHECKPOINT_START_LENGTH)?;
    let kind = record[16] & 0xf0;
    let is_checkpoint = record[17] == RESOURCE_MANAGER
        && matches!(kind, XLOG_CHECKPOINT_SHUTDOWN | XLOG_CHECKPOINT_ONLINE)
        && record[HEADER] == SHORT_DATA_ID
        && u32_at(record, 0)? as usize > CHECKPOINT_START_LENGTH;
    is_checkpoint.then(|| bytes_at(record, HEADER + 2).map(|lsn| Lsn(u64::from_le_bytes(lsn))))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(start: u64) -> Vec<u8> {
        let mut record = vec![0; ALIGNED];
        record[..4].copy_from_slice(&(LENGTH as u32).to_le_bytes());
        record[16] = INFO;
        record[24..26].copy_from_slice(&SHORT_DATA);
        record[26..34].copy_from_slice(&start.to_le_bytes());
        record
    }

    #[test]
    fn the_record_names_where_the_backup_began() {
        let bytes = [vec![7; 60], record(0x200_0028)].concat();
        assert_eq!(backup_end(&bytes), Some(Lsn(0x200_0028)));
        assert_eq!(backup_end(&bytes[..90]), None);
        assert_eq!(backup_end(&bytes[70..]), None);
        assert_eq!(backup_end(&[]), None);
    }

    #[test]
    fn the_redo_position_is_that_of_a_checkpoint_record() {
        let mut checkpoint = vec![0; 120];
        checkpoint[..4].copy_from_slice(&114_u32.to_le_bytes());
        checkpoint[16] = XLOG_CHECKPOINT_ONLINE;
        checkpoint[24..26].copy_from_slice(&[SHORT_DATA_ID, 88]);
        checkpoint[26..34].copy_from_slice(&0x600_0028_u64.to_le_bytes());
        assert_eq!(checkpoint_redo(&checkpoint), Some(Lsn(0x600_0028)));
        assert_eq!(checkpoint_redo(&checkpoint[..33]), None);
        assert_eq!(checkpoint_redo(&record(0x200_0028)), None);
        checkpoint[17] = 1;
        assert_eq!(checkpoint_redo(&checkpoint), None);
    }

    #[test]
    fn a_page_header_within_it_is_left_out() {
        let whole = record(9);
        let (first, second) = whole.split_at(16);
        let bytes = [first, &[1; 24], second].concat();
        assert_eq!(backup_end(&wal_records(&bytes, 3 * PAGE - 16)), Some(Lsn(9)));
        assert_eq!(wal_records(&[1; 50], 0), [1; 10]);
        assert_eq!(wal_records(&[1; 50], PAGE - 10), [1; 26]);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, at in 0_u64..(1 << 30)) {
            let _ = backup_end(&wal_records(&bytes, at));
        }
    }
}
