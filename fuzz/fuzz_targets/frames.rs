//! Frames of every compression: a damaged one is an error, never more bytes than it promised.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgstrata::{codec::Decompressor, types::CompressType};

fuzz_target!(|input: (u16, &[u8])| {
    let (raw_len, frame) = input;
    for kind in [CompressType::None, CompressType::Lz4, CompressType::Gz, CompressType::Zst] {
        let mut raw = Vec::new();
        if Decompressor::new(kind).decompress_frame(frame, raw_len.into(), &mut raw).is_ok() {
            assert_eq!(raw.len(), usize::from(raw_len));
        }
    }
});
