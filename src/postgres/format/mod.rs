//! Parsers of the files that PostgreSQL writes. Pure functions on bytes, which never panic.

pub(super) mod backup_end;
pub(super) mod backup_label;
pub(super) mod backup_manifest;
pub(super) mod config_file;
pub(super) mod control_file;
pub(super) mod incremental;
pub(super) mod manifest_builder;
pub(super) mod manifest_edit;
pub(super) mod page;
mod page_sum;
pub(super) mod plain_manifest;
pub(super) mod postmaster_pid;
pub(super) mod relation_file;
pub(super) mod wal_header;

/// The `N` bytes at `at`; `None` if the slice ends before.
fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes_at(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes_at(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes_at(bytes, at).map(u64::from_le_bytes)
}
