//! The loops in which a backup and a restore spend their processor time, each by itself on one core, over data that is made here
//! and is the same in every run. `cargo bench --bench inner_loops [filter]`.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pgstrata::{
    codec::{BlockHasher, Compressor, Decompressor, Sha256Hasher},
    postgres::{TarReader, check_pages, page_checksum},
    repo::block_map::{BlockMap, FRAME_RAW_MAX, FrameRef, ReferenceNumbers},
    types::{BlockDigest, CompressType, Compression, Lsn},
};

const PAGE: usize = 8192;
/// The blocks of a relation segment of 1 GiB.
const MAP_BLOCKS: u64 = 1 << 17;
const BLOCKS_IN_FRAME: u64 = (FRAME_RAW_MAX / PAGE) as u64;

type Error = Box<dyn std::error::Error>;

/// ReferenceNumbers that look random, the same in every run (splitmix64).
fn noise(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A row of a time series, with what PostgreSQL puts before it: transaction ids, a position, flags, and the columns.
fn row(number: u64) -> Vec<u8> {
    let mut row = Vec::with_capacity(160);
    row.extend_from_slice(&742_u32.to_le_bytes());
    row.extend_from_slice(&[0; 8]);
    row.extend_from_slice(&(number as u16).to_le_bytes());
    row.extend_from_slice(&[7, 0, 2, 9, 24, 0]);
    row.extend_from_slice(&number.to_le_bytes());
    row.extend_from_slice(&(820_454_400_000_000 + number * 250_000).to_le_bytes());
    row.extend_from_slice(&(noise(number) as f64 / u64::MAX as f64 + 20.0).to_le_bytes());
    let status = ["ok", "warn", "fail"][(number % 3) as usize];
    let text = format!(
        "{:016x}{{\"rssi\": -{}, \"status\": \"{status}\", \"firmware\": \"2.{}\"}}",
        noise(number),
        number % 90,
        number % 40
    );
    row.extend_from_slice(text.as_bytes());
    row.resize(row.len().next_multiple_of(8), 0);
    row
}

/// A heap page as PostgreSQL lays it out: header, line pointers, free space, rows from the end; with its checksum.
fn page(block: u32) -> Vec<u8> {
    let mut page = vec![0; PAGE];
    let (mut lower, mut upper) = (24, PAGE);
    for number in 0.. {
        let row = row(u64::from(block) * 64 + number);
        if lower + 4 + row.len() > upper {
            break;
        }
        upper -= row.len();
        page[upper..upper + row.len()].copy_from_slice(&row);
        let pointer = upper as u32 | 1 << 15 | (row.len() as u32) << 17;
        page[lower..lower + 4].copy_from_slice(&pointer.to_le_bytes());
        lower += 4;
    }
    page[4..8].copy_from_slice(&(block * 8192).to_le_bytes());
    page[12..14].copy_from_slice(&(lower as u16).to_le_bytes());
    page[14..16].copy_from_slice(&(upper as u16).to_le_bytes());
    page[16..18].copy_from_slice(&(PAGE as u16).to_le_bytes());
    page[18..20].copy_from_slice(&(PAGE as u16 | 4).to_le_bytes());
    let sum = page_checksum(&page, block).unwrap_or_default();
    page[8..10].copy_from_slice(&sum.to_le_bytes());
    page
}

/// The raw bytes of a frame: 128 pages of a relation.
fn frame() -> Vec<u8> {
    (0..BLOCKS_IN_FRAME as u32).flat_map(page).collect()
}

/// Digests, page checksums, and the digests of whole objects and of server files.
fn digests(criterion: &mut Criterion) {
    let raw = frame();
    let mut group = criterion.benchmark_group("digest");
    group.throughput(Throughput::Bytes(raw.len() as u64));
    let hasher = BlockHasher::new([7; 32]);
    group.bench_function("blocks of 8 KiB", |bencher| {
        bencher.iter(|| raw.chunks(PAGE).map(|block| hasher.digest(block)).collect::<Vec<_>>());
    });
    group.bench_function("page checksums", |bencher| {
        bencher.iter(|| check_pages(black_box(&raw), PAGE as u32, 0, Lsn(1 << 60)));
    });
    group.bench_function("SHA-256", |bencher| {
        bencher.iter(|| Sha256Hasher::digest(black_box(&raw)));
    });
    group.bench_function("CRC-32C", |bencher| {
        bencher.iter(|| crc32c::crc32c(black_box(&raw)));
    });
    group.finish();
}

/// A frame of 1 MiB, by every kind of compression at its usual level; throughput is in raw bytes.
fn frames(criterion: &mut Criterion) -> Result<(), Error> {
    let raw = frame();
    let mut group = criterion.benchmark_group("frame");
    group.throughput(Throughput::Bytes(raw.len() as u64));
    let kinds = [
        ("zst 3", CompressType::Zst, 3),
        ("lz4", CompressType::Lz4, 0),
        ("gz 6", CompressType::Gz, 6),
    ];
    for (name, kind, level) in kinds {
        let mut compressor = Compressor::new(Compression { kind, level })?;
        let mut stored = Vec::new();
        compressor.compress_frame(&raw, &mut stored)?;
        let percent = stored.len() * 100 / raw.len();
        group.bench_function(format!("compress {name}, to {percent} %"), |bencher| {
            bencher.iter_batched_ref(
                || Vec::with_capacity(2 * FRAME_RAW_MAX),
                |out| compressor.compress_frame(&raw, out),
                BatchSize::LargeInput,
            );
        });
        let mut decompressor = Decompressor::new(kind);
        let mut out = Vec::new();
        group.bench_function(format!("decompress {name}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                decompressor.decompress_frame(&stored, raw.len(), &mut out)
            });
        });
    }
    group.finish();
    Ok(())
}

/// An archive of files of 64 KiB, and how the server cuts it.
fn archive() -> Vec<Bytes> {
    let mut archive = Vec::new();
    let body = frame();
    for (number, content) in body.chunks(64 << 10).enumerate() {
        let mut header = [0; 512];
        let name = format!("base/16384/{number}");
        header[..name.len()].copy_from_slice(name.as_bytes());
        let fields = [
            (100, "0000600"),
            (108, "0000032"),
            (116, "0000032"),
            (136, "15000000000"),
            (156, "0"),
        ];
        for (at, text) in fields {
            header[at..at + text.len()].copy_from_slice(text.as_bytes());
        }
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[257..263].copy_from_slice(b"ustar\0");
        header[263..265].copy_from_slice(b"00");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        archive.extend_from_slice(&header);
        archive.extend_from_slice(content);
    }
    archive.chunks(32 << 10).map(Bytes::copy_from_slice).collect()
}

fn count_events(chunks: &[Bytes]) -> Result<usize, Error> {
    let mut reader = TarReader::new();
    let mut events = 0;
    for chunk in chunks {
        reader.push(chunk.clone())?;
        while reader.next_event()?.is_some() {
            events += 1;
        }
    }
    Ok(events)
}

fn tar(criterion: &mut Criterion) -> Result<(), Error> {
    let chunks = archive();
    count_events(&chunks)?;
    let mut group = criterion.benchmark_group("tar");
    group.throughput(Throughput::Bytes(chunks.iter().map(|chunk| chunk.len() as u64).sum()));
    group.bench_function("files of 64 KiB", |bencher| bencher.iter(|| count_events(&chunks)));
    group.finish();
    Ok(())
}

fn frame_ref(reference: u32, number: u64) -> FrameRef {
    let offset = 16 + number * 150_000;
    FrameRef { reference, bundle: 1, offset, stored_len: 150_000, raw_len: FRAME_RAW_MAX as u32 }
}

fn digest_of(block: u64) -> BlockDigest {
    let mut digest = [0; BlockDigest::LEN];
    digest[..8].copy_from_slice(&noise(block).to_le_bytes());
    BlockDigest(digest)
}

/// The map of a segment of 1 GiB as a full stores it.
fn map() -> BlockMap {
    let mut map = BlockMap::default();
    for number in 0..MAP_BLOCKS / BLOCKS_IN_FRAME {
        let first = number * BLOCKS_IN_FRAME;
        let digests: Vec<_> = (first..first + BLOCKS_IN_FRAME).map(digest_of).collect();
        map.push(frame_ref(0, number), 0, &digests, PAGE as u32);
    }
    map
}

/// That of a diff: every hundredth block is new, in frames of the diff, and all others are where they were.
fn changed_map() -> BlockMap {
    let mut map = BlockMap::default();
    for block in 0..MAP_BLOCKS {
        let (frame, at, digest) = match block.is_multiple_of(100) {
            true => {
                let number = block / 100;
                (frame_ref(0, number / BLOCKS_IN_FRAME), number, digest_of(!block))
            }
            false => (frame_ref(1, block / BLOCKS_IN_FRAME), block, digest_of(block)),
        };
        let raw_offset = (at % BLOCKS_IN_FRAME) as u32 * PAGE as u32;
        map.push(frame, raw_offset, &[digest], PAGE as u32);
    }
    map
}

fn block_maps(criterion: &mut Criterion) -> Result<(), Error> {
    let size = MAP_BLOCKS * PAGE as u64;
    let (base, changed) = (map(), changed_map());
    let (encoded, patch) = (base.encode(), changed.encode_patch(&base, PAGE as u32));
    let read =
        || BlockMap::decode(&encoded, "map", size, PAGE as u32, ReferenceNumbers::of_reference(1));
    let of_prior = read()?;
    let of_prior = (&of_prior, size);
    let apply = || {
        BlockMap::decode_patch(
            &patch,
            "patch",
            of_prior,
            size,
            PAGE as u32,
            ReferenceNumbers::of_own(1),
        )
    };
    apply()?;
    let mut group = criterion.benchmark_group("map of 1 GiB");
    group.throughput(Throughput::Elements(MAP_BLOCKS));
    group.bench_function("encode", |bencher| bencher.iter(|| base.encode()));
    group.bench_function("decode", |bencher| bencher.iter(read));
    group.bench_function("make a patch of 1 %", |bencher| {
        bencher.iter(|| changed.encode_patch(&base, PAGE as u32));
    });
    group.bench_function("apply a patch of 1 %", |bencher| bencher.iter(apply));
    group.finish();
    Ok(())
}

#[allow(clippy::panic)]
fn fallible(criterion: &mut Criterion) {
    for bench in [frames, tar, block_maps] {
        if let Err(error) = bench(criterion) {
            panic!("{error}");
        }
    }
}

criterion_group!(benches, digests, fallible);
criterion_main!(benches);
