//! Files that PostgreSQL writes and we read: whatever their bytes, an error or a value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgstrata::{
    postgres::{BackupLabelFile, BackupManifest, ControlFile, TimelineHistory, WalHeader},
    types::{ArchiveFile, DataPath, Lsn, TimeLine},
};

fuzz_target!(|bytes: &[u8]| {
    let _ = BackupLabelFile::parse(bytes);
    let _ = BackupManifest::parse(bytes);
    let _ = ControlFile::parse(bytes);
    let _ = WalHeader::check(bytes);
    let _ = TimelineHistory::parse(TimeLine(2), bytes);
    let _ = DataPath::new(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = text.parse::<Lsn>();
        let _ = text.parse::<ArchiveFile>();
    }
});
