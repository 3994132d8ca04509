//! The file list and PostgreSQL's manifest of a backup after damage, or from a hostile hand: within the totals, or an error.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use pgstrata::{
    repo::{
        file_list::{FileEntry, FileList},
        manifest::Totals,
        object_header::{ObjectHeader, ObjectKind},
        pg_manifest,
    },
    types::CompressType,
};

/// The object whose raw bytes these are.
fn stored(kind: ObjectKind, raw: &[u8]) -> Bytes {
    let mut data = ObjectHeader::new(kind, CompressType::Zst).encode().to_vec();
    data.extend(zstd::bulk::compress(raw, 1).unwrap_or_default());
    data.into()
}

fuzz_target!(|input: (u16, u64, u8, &[u8])| {
    let (files, size, bundles, bytes) = input;
    let totals =
        Totals { files: files.into(), size, bundles: bundles.into(), ..Totals::default() };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else { return };
    for data in [Bytes::copy_from_slice(bytes), stored(ObjectKind::FileList, bytes)] {
        let decoding = FileList::decode(data, "files", &totals);
        if let Ok(list) = runtime.block_on(decoding) {
            let listed = list.files.iter().map(FileEntry::size).fold(0, u64::saturating_add);
            assert!(listed <= size, "more bytes than the manifest counts");
        }
    }
    for data in [Bytes::copy_from_slice(bytes), stored(ObjectKind::BackupManifest, bytes)] {
        let _ = runtime.block_on(pg_manifest::decode(&data, "backup_manifest", totals.files));
    }
});
