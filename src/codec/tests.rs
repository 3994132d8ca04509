//! Properties that hold for every method at once.

use std::io::BufReader;

use proptest::prelude::*;

use super::*;
use crate::types::{CompressType, Compression};

const KINDS: [CompressType; 4] =
    [CompressType::None, CompressType::Zst, CompressType::Lz4, CompressType::Gz];

fn levels(kind: CompressType) -> std::ops::RangeInclusive<i32> {
    match kind {
        CompressType::None => 0..=0,
        CompressType::Zst => -7..=22,
        CompressType::Lz4 => -5..=12,
        CompressType::Gz => 0..=9,
    }
}

fn frame(kind: CompressType, raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let level = kind.default_level();
    let mut compressor = Compressor::new(Compression { kind, level }).unwrap();
    compressor.compress_frame(raw, &mut out).unwrap();
    out
}

fn read_all(kind: CompressType, stored: &[u8], raw_size: u64, step: usize) -> Result<Vec<u8>> {
    let mut reader = FrameReader::new(kind, BufReader::with_capacity(7, stored), raw_size)?;
    let mut out = Vec::new();
    let mut buffer = vec![0; step];
    loop {
        match reader.fill(&mut buffer)? {
            0 => return Ok(out),
            n => out.extend_from_slice(&buffer[..n]),
        }
    }
}

fn read_pieces(kind: CompressType, stored: &[u8], raw_size: u64, step: usize) -> Result<Vec<u8>> {
    let mut reader = FrameSplitter::new(kind, BufReader::with_capacity(step, stored), raw_size)?;
    let (mut piece, mut decompressor) = (FrameBuffer::default(), Decompressor::new(kind));
    let mut out = Vec::new();
    while reader.next(&mut piece)? {
        out.extend_from_slice(piece.decompress(&mut decompressor)?);
    }
    Ok(out)
}

/// Bytes that compress well in part, as pages do.
fn raw_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec((any::<u8>(), 1usize..300), 0..60).prop_map(|runs| {
        runs.into_iter()
            .flat_map(|(b, n)| (0..n).map(move |i| if n % 3 == 0 { b ^ i as u8 } else { b }))
            .collect()
    })
}

fn kind() -> impl Strategy<Value = CompressType> {
    prop::sample::select(KINDS.to_vec())
}

#[test]
fn every_level_round_trips_and_the_next_outside_is_refused() {
    let raw: Vec<u8> = (0..200_000u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
    for kind in KINDS {
        for level in levels(kind) {
            let mut compressor = Compressor::new(Compression { kind, level }).unwrap();
            let mut stored = vec![1, 2, 3];
            compressor.compress_frame(&raw, &mut stored).unwrap();
            let mut out = vec![9];
            Decompressor::new(kind).decompress_frame(&stored[3..], raw.len(), &mut out).unwrap();
            assert_eq!(out.split_first(), Some((&9, raw.as_slice())), "{kind:?} {level}");
            assert_eq!(read_all(kind, &stored[3..], raw.len() as u64, 1000).unwrap(), raw);
        }
        if kind != CompressType::None {
            for level in [levels(kind).start() - 1, levels(kind).end() + 1] {
                assert!(Compressor::new(Compression { kind, level }).is_err(), "{kind:?} {level}");
            }
        }
    }
}

#[test]
fn a_frame_that_holds_more_than_it_may_is_refused_in_little_memory() {
    let bomb = vec![0; 64 << 20];
    for kind in [CompressType::Zst, CompressType::Lz4, CompressType::Gz] {
        let stored = frame(kind, &bomb);
        let mut out = Vec::new();
        let refused = Decompressor::new(kind).decompress_frame(&stored, 8192, &mut out);
        assert!(matches!(refused, Err(Error::Length { .. })), "{kind:?} {refused:?}");
        assert!(out.is_empty() && out.capacity() < 32 << 10, "{kind:?} {}", out.capacity());
        let refused = read_all(kind, &stored, 8192, 4096);
        assert!(matches!(refused, Err(Error::Length { .. })), "{kind:?} {refused:?}");
    }
}

#[test]
fn pieces_are_frames_where_those_are_no_longer_than_ours_and_else_a_stream() {
    let raw: Vec<u8> = (0..700_000u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
    for kind in KINDS {
        let cut: Vec<u8> = raw.chunks(1 << 20).flat_map(|piece| frame(kind, piece)).collect();
        for stored in [&cut, &frame(kind, &raw), &[cut.clone(), frame(kind, &raw)].concat()] {
            let raw_size = (if stored.len() > cut.len() { 2 } else { 1 }) * raw.len();
            let out = read_pieces(kind, stored, raw_size as u64, 8 << 10).unwrap();
            assert!(out == raw.repeat(raw_size / raw.len()), "{kind:?}");
        }
    }
}

#[test]
fn a_frame_that_does_not_tell_its_size_is_read_too() {
    let stored = zstd::encode_all(&b"streamed"[..], 3).unwrap();
    assert_eq!(read_pieces(CompressType::Zst, &stored, 8, 5).unwrap(), b"streamed");
    assert!(read_pieces(CompressType::Zst, &stored, 7, 5).is_err());
}

#[test]
fn nothing_comes_after_a_damaged_piece() {
    let mut reader = FrameSplitter::new(CompressType::Zst, &b"no frame"[..], 8).unwrap();
    let mut piece = FrameBuffer::default();
    assert!(reader.next(&mut piece).is_err());
    assert!(reader.next(&mut piece).is_err());
}

#[test]
fn an_absurd_length_is_an_error_and_not_an_abort() {
    for kind in KINDS {
        let refused =
            Decompressor::new(kind).decompress_frame(&frame(kind, b"x"), usize::MAX, &mut vec![]);
        assert!(refused.is_err(), "{kind:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn frames_round_trip_alone_and_in_a_row(
        kind in kind(),
        pieces in prop::collection::vec(raw_bytes(), 1..4),
        step in 1usize..5000,
    ) {
        let mut compressor =
            Compressor::new(Compression { kind, level: kind.default_level() }).unwrap();
        let mut decompressor = Decompressor::new(kind);
        let (mut row, mut out) = (Vec::new(), Vec::new());
        for raw in &pieces {
            let at = row.len();
            compressor.compress_frame(raw, &mut row).unwrap();
            decompressor.decompress_frame(&row[at..], raw.len(), &mut out).unwrap();
        }
        let raw = pieces.concat();
        prop_assert_eq!(&out, &raw);
        prop_assert_eq!(read_all(kind, &row, raw.len() as u64, step).unwrap(), raw);
    }

    #[test]
    fn a_wrong_length_is_refused(kind in kind(), raw in raw_bytes(), other in 0usize..20_000) {
        prop_assume!(other != raw.len());
        let stored = frame(kind, &raw);
        let mut out = b"kept".to_vec();
        prop_assert!(Decompressor::new(kind).decompress_frame(&stored, other, &mut out).is_err());
        prop_assert_eq!(out, b"kept");
        prop_assert!(read_all(kind, &stored, other as u64, 512).is_err());
    }

    #[test]
    fn a_cut_frame_is_refused(kind in kind(), raw in raw_bytes(), cut in any::<prop::sample::Index>()) {
        let stored = frame(kind, &raw);
        prop_assume!(!stored.is_empty());
        let cut = &stored[..cut.index(stored.len())];
        prop_assert!(Decompressor::new(kind).decompress_frame(cut, raw.len(), &mut vec![]).is_err());
        if !raw.is_empty() {
            // The last bytes of a stream may carry no content; then all of it came out right.
            if let Ok(out) = read_all(kind, cut, raw.len() as u64, 512) {
                prop_assert_eq!(out, raw);
            }
        }
    }

    #[test]
    fn trailing_bytes_are_refused(kind in kind(), raw in raw_bytes(), tail in prop::collection::vec(any::<u8>(), 1..50)) {
        let mut stored = frame(kind, &raw);
        stored.extend_from_slice(&tail);
        prop_assert!(Decompressor::new(kind).decompress_frame(&stored, raw.len(), &mut vec![]).is_err());
        prop_assert!(read_all(kind, &stored, raw.len() as u64, 512).is_err());
    }

    #[test]
    fn a_flipped_bit_never_panics_nor_changes_the_length(
        kind in kind(),
        raw in raw_bytes(),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let mut stored = frame(kind, &raw);
        prop_assume!(!stored.is_empty());
        let at = at.index(stored.len());
        stored[at] ^= 1 << bit;
        let mut out = Vec::new();
        if Decompressor::new(kind).decompress_frame(&stored, raw.len(), &mut out).is_ok() {
            prop_assert_eq!(out.len(), raw.len());
        }
        if let Ok(out) = read_all(kind, &stored, raw.len() as u64, 512) {
            prop_assert_eq!(out.len(), raw.len());
        }
    }

    #[test]
    fn noise_never_panics(kind in kind(), noise in prop::collection::vec(any::<u8>(), 0..400), len in 0usize..1000) {
        let mut out = Vec::new();
        if Decompressor::new(kind).decompress_frame(&noise, len, &mut out).is_ok() {
            prop_assert_eq!(out.len(), len);
        }
        if let Ok(out) = read_all(kind, &noise, len as u64, 64) {
            prop_assert_eq!(out.len(), len);
        }
    }

    #[test]
    fn pieces_hold_what_the_stream_does(
        kind in kind(),
        pieces in prop::collection::vec(raw_bytes(), 0..4),
        damage in prop::option::of((any::<prop::sample::Index>(), 0u8..8)),
        cut in prop::option::of(any::<prop::sample::Index>()),
        other in prop::option::of(0u64..20_000),
        step in 1usize..5000,
    ) {
        let mut stored: Vec<u8> = pieces.iter().flat_map(|raw| frame(kind, raw)).collect();
        if let Some((at, bit)) = damage.filter(|_| !stored.is_empty()) {
            let at = at.index(stored.len());
            stored[at] ^= 1 << bit;
        }
        if let Some(cut) = cut.filter(|_| !stored.is_empty()) {
            stored.truncate(cut.index(stored.len()));
        }
        let raw_size = other.unwrap_or(pieces.concat().len() as u64);
        let streamed = read_all(kind, &stored, raw_size, 512);
        match (streamed, read_pieces(kind, &stored, raw_size, step)) {
            (Ok(streamed), Ok(pieces)) => prop_assert_eq!(streamed, pieces),
            (Ok(_), Err(error)) => prop_assert!(false, "only the stream was read: {}", error),
            // A damaged frame may ask for a longer window than a stream has.
            (Err(_), Ok(pieces)) => prop_assert_eq!(pieces.len() as u64, raw_size),
            (Err(_), Err(_)) => {}
        }
    }
}
