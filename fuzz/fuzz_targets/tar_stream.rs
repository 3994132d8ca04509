//! The tar stream of a server, cut into chunks anywhere: errors, never a panic, and no more bytes out than in.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use pgstrata::postgres::{TarEvent, TarReader};

fuzz_target!(|input: (u8, &[u8])| {
    let (chunk, stream) = input;
    let mut reader = TarReader::new();
    let mut delivered = 0;
    for piece in stream.chunks(usize::from(chunk).max(1) * 16) {
        if reader.push(Bytes::copy_from_slice(piece)).is_err() {
            return;
        }
        while let Ok(Some(event)) = reader.next_event() {
            if let TarEvent::Bytes(bytes) = event {
                delivered += bytes.len();
            }
        }
        assert!(delivered <= stream.len());
    }
    let _ = reader.finish();
});
