//! The code and the test vectors of `docs/repository-format.md` agree. A second implementation in another language is
//! tested with the same vectors.

use std::{fs, sync::Arc};

use bytes::Bytes;

use super::{
    archive::WalArchive,
    block_map::{BlockMap, FrameRef, ReferenceNumbers},
    encrypted::EncryptedStorage,
    metadata,
    object_header::ObjectKind,
    recipient::{PassPhrase, Recipient, RecipientId},
    stanza::{ClusterId, StanzaEntry, StanzaHistory},
    varint,
};
use crate::{
    codec::BlockHasher,
    storage::{PosixStorage, Storage},
    types::{
        ArchiveFile, BlockDigest, HistoryId, PgVersion, SystemId, TimeLine,
        test_vectors::{bytes, text},
    },
};

const BLOCK: u32 = 8192;
const OLD_SIZE: u64 = 20_000;
const NEW_SIZE: u64 = 4 * BLOCK as u64;

fn hasher() -> BlockHasher {
    BlockHasher::new(bytes("digest-key").try_into().unwrap())
}

fn digest_of(letter: u8, len: u32) -> BlockDigest {
    hasher().digest(&vec![letter; len as usize])
}

/// The map of the old file; `reference` is the number of the backup that holds it.
fn old_map(reference: u32) -> BlockMap {
    let frame = FrameRef { reference, bundle: 1, offset: 16, stored_len: 100, raw_len: 20_000 };
    let digests = [digest_of(b'a', BLOCK), digest_of(b'b', BLOCK), digest_of(b'c', 3616)];
    let mut map = BlockMap::default();
    map.push(frame, 0, &digests, BLOCK);
    map
}

/// The map of the new file: its first block is that of the old one.
fn new_map() -> BlockMap {
    let old = old_map(1);
    let frame =
        FrameRef { reference: 0, bundle: 2, offset: 4711, stored_len: 300, raw_len: 1 << 20 };
    let mut map = BlockMap::default();
    map.push(old.frames[0], 0, &old.digests[..1], BLOCK);
    map.push(frame, 24_576, &[b'x', b'y', b'z'].map(|letter| digest_of(letter, BLOCK)), BLOCK);
    map
}

/// Block after block: backup, bundle and offset of the frame, and the raw offset in it.
fn shown(map: &BlockMap, size: u64) -> String {
    let blocks = map.extents(size, BLOCK).flat_map(|extent| {
        let FrameRef { reference, bundle, offset, .. } = extent.frame;
        let raw = (0..extent.digests.len()).map(move |n| extent.raw_offset + n * BLOCK as usize);
        raw.map(move |raw| format!("{reference}/{bundle}/{offset}+{raw}"))
    });
    blocks.collect::<Vec<_>>().join(" ")
}

#[test]
fn numbers_and_digests() {
    let mut number = Vec::new();
    varint::put(&mut number, 300);
    assert_eq!(number, bytes("varint-300"));
    assert_eq!(digest_of(b'a', BLOCK).0.to_vec(), bytes("digest-of-8192-times-a"));
    assert_eq!(hasher().digest(b"abc").0.to_vec(), bytes("digest-of-abc"));
}

#[test]
fn a_map() {
    let encoded = old_map(0).encode();
    assert_eq!(encoded, bytes("map"));
    assert_eq!(hasher().digest(&encoded).0.to_vec(), bytes("map-digest"));
    let decoded =
        BlockMap::decode(&encoded, "m", OLD_SIZE, BLOCK, ReferenceNumbers::of_own(0)).unwrap();
    assert_eq!(shown(&decoded, OLD_SIZE), text("map-blocks"));
}

#[test]
fn a_patch() {
    assert_eq!(new_map().encode_patch(&old_map(1), BLOCK), bytes("patch"));
    let base = bytes("map");
    let base =
        BlockMap::decode(&base, "b", OLD_SIZE, BLOCK, ReferenceNumbers::of_reference(1)).unwrap();
    let (patch, own) = (bytes("patch"), ReferenceNumbers::of_own(1));
    let map = BlockMap::decode_patch(&patch, "p", (&base, OLD_SIZE), NEW_SIZE, BLOCK, own).unwrap();
    assert_eq!(map, new_map());
    assert_eq!(shown(&map, NEW_SIZE), text("patch-blocks"));
}

fn entry() -> StanzaEntry {
    let cluster = ClusterId {
        system_id: SystemId(7_710_602_463_770_170_940),
        version: PgVersion::new(15).unwrap(),
    };
    let created = 1_795_264_539;
    StanzaEntry { id: HistoryId(1), cluster, control_version: Some(1300), created, nonce: None }
}

#[test]
fn a_metadata_object() {
    let body = metadata::to_json(&entry(), "stanza").unwrap();
    assert_eq!(metadata::frame(ObjectKind::Stanza, &body), bytes("stanza-object"));
}

/// A repository in a directory, with an object that is written as it is stored.
fn repository_with(objects: &[(&str, Vec<u8>)]) -> (tempfile::TempDir, Arc<dyn Storage>) {
    let directory = tempfile::tempdir().unwrap();
    for (path, content) in objects {
        let place = directory.path().join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, content).unwrap();
    }
    let storage = Arc::new(PosixStorage::new(directory.path()));
    (directory, storage)
}

#[tokio::test]
async fn a_wal_object() {
    let path = format!("archive/demo/15-1/{}", text("wal-name"));
    let (_directory, storage) = repository_with(&[(&path, bytes("wal-object"))]);
    let archive = WalArchive::new(storage, &"demo".parse().unwrap(), entry().archive_id()).unwrap();
    let stored = archive.find(ArchiveFile::History(TimeLine(2))).await.unwrap().unwrap();
    let content = archive.read_small(&stored, 1000).await.unwrap();
    assert_eq!(content, b"1\t0/5000000\tno recovery target specified\n");
}

#[test]
fn a_key_object() {
    let object = Bytes::from(bytes("key-object"));
    let recipient = Recipient::decode(RecipientId::FIRST, object, "key").unwrap();
    let right = PassPhrase::new(text("pass-phrase"));
    assert!(recipient.open(&right).unwrap().is_some());
    assert!(recipient.open(&PassPhrase::new("another")).unwrap().is_none());
}

#[tokio::test]
async fn an_encrypted_object() {
    let (_directory, storage) = repository_with(&[
        ("key/0000000000000001", bytes("key-object")),
        (&text("stanza-path"), bytes("encrypted-stanza-object")),
    ]);
    let storage = EncryptedStorage::new(storage, PassPhrase::new(text("pass-phrase")));
    let history = StanzaHistory::read(&storage, &"demo".parse().unwrap()).await.unwrap();
    assert_eq!(history.entries(), [entry()]);
}
