//! Files that PostgreSQL writes and we read: whatever their bytes, an error or a value.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use pgstrata::{
    postgres::{
        BackupLabelFile, BackupManifest, ControlFile, IncrementalHeaderReader, PlainFile,
        PostmasterPid, WalHeader, backup_end, check_pages, config_lines, manifest_without,
        plain_backup_label, plain_manifest, wal_records,
    },
    types::{ArchiveFile, DataPath, Lsn, TimeLine, TimelineHistory},
};

fuzz_target!(|bytes: &[u8]| {
    let _ = BackupLabelFile::parse(bytes);
    let _ = BackupManifest::parse(bytes);
    let _ = ControlFile::parse(bytes);
    let _ = WalHeader::check(bytes);
    let _ = TimelineHistory::parse(TimeLine(2), bytes);
    let _ = DataPath::new(bytes);
    let _ = plain_backup_label(bytes);
    let _ = plain_manifest(bytes, &|_| Some(PlainFile { size: 1, crc32c: Some(2) }));
    let _ = manifest_without(bytes, "tablespace_map");
    let _ = PostmasterPid::parse(bytes);
    let _ = config_lines(bytes);
    let _ = backup_end(&wal_records(bytes, 0x28));
    let _ = check_pages(bytes, 512, 7, Lsn(u64::MAX));
    incremental(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = text.parse::<Lsn>();
        let _ = text.parse::<ArchiveFile>();
    }
});

/// An incremental file in two chunks: what is put together is as long as the header says.
fn incremental(bytes: &[u8]) {
    let (prior_pages, file) = bytes.split_first().map_or((0, bytes), |(n, rest)| (*n, rest));
    let mut reader = IncrementalHeaderReader::new(file.len() as u64, 512);
    for chunk in file.chunks(file.len() / 2 + 1) {
        let mut chunk = Bytes::copy_from_slice(chunk);
        let Ok(found) = reader.take(&mut chunk) else { return };
        if let Some(header) = found {
            let pages = header.pages();
            assert!(header.unchanged_pages(prior_pages.into()) <= pages);
            assert!(header.runs(prior_pages.into()).count() <= pages as usize);
            return;
        }
    }
}
