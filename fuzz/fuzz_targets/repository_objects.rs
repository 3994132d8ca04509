//! Repository objects after damage: readers check counts and bounds before they use them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgstrata::repo::{block_map::BlockMap, object_header::ObjectHeader};

fuzz_target!(|input: (u32, u8, &[u8])| {
    let (file_size, references, bytes) = input;
    let _ = ObjectHeader::decode_any(bytes, "object");
    let block_size = 8192;
    let decoded = BlockMap::decode(bytes, "map", file_size.into(), block_size, references.into());
    if let Ok(map) = decoded {
        let covered: usize =
            map.extents(file_size.into(), block_size).map(|extent| extent.len).sum();
        assert!(covered <= file_size as usize, "more bytes than the file has");
    }
});
