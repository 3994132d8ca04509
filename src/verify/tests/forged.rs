//! Repositories whose digests all match and whose content contradicts itself, as written by an attacker.

use super::*;
use crate::repo::file_list::{EntryKind, FileEntry, FileList, FileListWriter};

/// Writes the file list of the full backup again after `change`, and a manifest that proves it.
async fn forge(bench: &Bench, change: impl Fn(&mut Vec<FileEntry>)) {
    let label = FULL.parse().unwrap();
    let mut manifest = Manifest::read(&*bench.storage, &stanza_name(), &label).await.unwrap();
    let mut list = FileList::read(&*bench.storage, &manifest).await.unwrap();
    change(&mut list.files);
    let paths = BackupPaths::new(&stanza_name(), &label).unwrap();
    bench.memory.remove(&paths.file_list().unwrap());
    bench.memory.remove(&paths.manifest().unwrap());
    let mut writer = FileListWriter::create(&*bench.storage, &paths).await.unwrap();
    for entry in &list.files {
        writer.file(entry).await.unwrap();
    }
    for record in &list.bundles {
        writer.bundle(record).await.unwrap();
    }
    manifest.file_list = writer.finish().await.unwrap();
    manifest.publish(&*bench.storage).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_a_size_and_no_block_map_is_found() {
    let bench = Bench::new().await;
    forge(&bench, |files| {
        let large = files.iter_mut().find(|entry| entry.path.file_name() == b"large").unwrap();
        if let EntryKind::File { map, base, .. } = &mut large.kind {
            (*map, *base) = (None, None);
        }
    })
    .await;
    let faults = bench.faults().await;
    let found = "damaged backup/demo/20261121-092452F/files: it is not valid: file 'base/5/large' has a size and \
                 no block map [F]";
    assert!(faults.contains(found), "{faults}");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_files_than_the_manifest_counts_are_found() {
    let bench = Bench::new().await;
    forge(&bench, |files| {
        let mut more = files.last().unwrap().clone();
        more.path = "base/5/more".parse().unwrap();
        more.kind = EntryKind::File { size: 0, map: None, base: None };
        files.push(more);
    })
    .await;
    let faults = bench.faults().await;
    assert!(faults.contains("or more files, but at most"), "{faults}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keep_mark_that_cannot_be_read_is_not_taken_for_none() {
    let bench = Bench::new().await;
    let paths = BackupPaths::new(&stanza_name(), &FULL.parse().unwrap()).unwrap();
    let path = paths.keep().unwrap().join("00000001").unwrap();
    let kind = crate::repo::object_header::ObjectKind::Keep;
    crate::repo::metadata::write(&*bench.storage, &path, kind, b"{}").await.unwrap();
    // Only where WAL is missing does it matter what retention keeps.
    bench.memory.remove(&bench.object("000000010000000000000008"));
    let faults = bench.faults().await;
    let found = "damaged backup/demo/20261121-092452F/keep: it is not valid: missing field `keep`";
    assert!(faults.contains(found), "{faults}");
    assert!(faults.contains("hole archive/demo/15-1/0000000100000000/000000010000000000000008"));
}
