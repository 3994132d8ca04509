//! Repository objects after damage: readers check counts and bounds before they use them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgstrata::{
    codec::encrypt::CipherHeader,
    repo::{
        annotation,
        block_map::{BlockMap, FrameRef, ReferenceNumbers},
        manifest::Manifest,
        metadata,
        object_header::ObjectHeader,
        recipient::{Recipient, RecipientId},
        stanza::StanzaEntry,
        started::Started,
    },
    types::BlockDigest,
};

const BLOCK_SIZE: u32 = 8192;

/// The map of a file of so many whole blocks, all in one frame.
fn base(blocks: u8) -> BlockMap {
    let frame = FrameRef { reference: 1, bundle: 1, offset: 16, stored_len: 100, raw_len: 1 << 20 };
    let mut map = BlockMap::default();
    for block in 0..blocks.min(128) {
        let digest = BlockDigest([block; BlockDigest::LEN]);
        map.push(frame, u32::from(block) * BLOCK_SIZE, &[digest], BLOCK_SIZE);
    }
    map
}

fn check(map: &BlockMap, file_size: u64) {
    let covered: u64 = map.extents(file_size, BLOCK_SIZE).map(|extent| extent.len as u64).sum();
    assert!(covered <= file_size, "more bytes than the file has");
}

fuzz_target!(|input: (u32, u8, u8, &[u8])| {
    let (file_size, references, base_blocks, bytes) = input;
    let (file_size, numbers) = (u64::from(file_size), ReferenceNumbers::of_own(references.into()));
    let _ = ObjectHeader::decode_any(bytes, "object");
    let _ = CipherHeader::decode(bytes);
    let _ = metadata::from_json::<Manifest>(bytes, "manifest");
    let _ = metadata::from_json::<StanzaEntry>(bytes, "1");
    let _ = metadata::from_json::<Started>(bytes, "started");
    let _ = metadata::from_json::<annotation::Change>(bytes, "annotation");
    let _ = Recipient::decode(RecipientId::FIRST, bytes.to_vec().into(), "key");
    if let Ok(map) = BlockMap::decode(bytes, "map", file_size, BLOCK_SIZE, numbers) {
        check(&map, file_size);
    }
    let base = base(base_blocks);
    let base_size = base.digests.len() as u64 * u64::from(BLOCK_SIZE);
    let base = (&base, base_size);
    if let Ok(map) = BlockMap::decode_patch(bytes, "patch", base, file_size, BLOCK_SIZE, numbers) {
        check(&map, file_size);
    }
});
