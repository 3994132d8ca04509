//! What this machine can do at most, on the files of a real cluster: reading from the page cache, each transform of a backup
//! and of a restore, writing. With one thread, and with one for each processor, which is what a core is worth when all
//! work. `cargo bench --bench floors -- <data directory>`; the server should be stopped, or idle.

#![allow(clippy::print_stdout)]

use std::{
    env, fs,
    hint::black_box,
    io::{Read, Write},
    path::{Path, PathBuf},
    thread,
    time::Instant,
};

use pgstrata::{
    codec::{BlockHasher, Compressor, Decompressor, Sha256Hasher},
    postgres::{check_pages, is_checked_file},
    repo::block_map::FRAME_RAW_MAX,
    types::{CompressType, Compression, DataPath, Lsn},
};

const PAGE: u32 = 8192;
const PAGES_IN_SEGMENT: u32 = 1 << 17;
const PAGES_IN_FRAME: u32 = FRAME_RAW_MAX as u32 / PAGE;
/// As much is read; frames beyond are left out evenly.
const FRAMES_MAX: usize = 512;
const RUNS: usize = 3;
const USAGE: &str = "usage: cargo bench --bench floors -- <data directory>";
const ZST: Compression = Compression { kind: CompressType::Zst, level: 3 };

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Pages of a relation, and the number of the first one in its fork.
struct Frame {
    raw: Vec<u8>,
    first_block: u32,
    stored: Vec<u8>,
}

/// The relation files below a data directory, largest first, with the number of their segment.
fn relations(data: &Path) -> Result<Vec<(PathBuf, u64, u32)>, Error> {
    let mut files = Vec::new();
    for database in fs::read_dir(data.join("base"))? {
        for entry in fs::read_dir(database?.path())? {
            let entry = entry?;
            let path = entry.path();
            let relative = path.strip_prefix(data)?.as_os_str().as_encoded_bytes().to_vec();
            if let Some(segment) = is_checked_file(&DataPath::new(&relative)?) {
                files.push((path, entry.metadata()?.len(), segment));
            }
        }
    }
    files.sort_by_key(|(_, size, _)| std::cmp::Reverse(*size));
    Ok(files)
}

/// Frames from all files, as many of each as its size asks for.
fn frames(files: &[(PathBuf, u64, u32)]) -> Result<Vec<Frame>, Error> {
    let whole: u64 = files.iter().map(|(_, size, _)| size / FRAME_RAW_MAX as u64).sum();
    let step = (whole as usize).div_ceil(FRAMES_MAX).max(1);
    let (mut frames, mut number) = (Vec::new(), 0);
    for (path, size, segment) in files {
        let mut file = fs::File::open(path)?;
        for index in 0..(size / FRAME_RAW_MAX as u64) as u32 {
            let mut raw = vec![0; FRAME_RAW_MAX];
            file.read_exact(&mut raw)?;
            number += 1;
            if number % step == 0 {
                let first_block = segment * PAGES_IN_SEGMENT + index * PAGES_IN_FRAME;
                frames.push(Frame { raw, first_block, stored: Vec::new() });
            }
        }
    }
    Ok(frames)
}

/// Reads all files, in pieces of a frame.
fn read_all(files: &[(PathBuf, u64, u32)]) -> Result<u64, Error> {
    let mut buffer = vec![0; FRAME_RAW_MAX];
    let mut total = 0;
    for (path, ..) in files {
        let mut file = fs::File::open(path)?;
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                read => total += read as u64,
            }
        }
    }
    Ok(total)
}

/// The best of some runs of `work` on so many threads at once, in GB a second and thread. It is given the number of the
/// thread and says how many bytes it went through.
fn rate<F>(threads: usize, work: F) -> Result<f64, Error>
where
    F: Fn(usize) -> Result<u64, Error> + Sync,
{
    let mut best = 0.0_f64;
    for _ in 0..RUNS {
        best = best.max(rate_once(threads, &work)?);
    }
    Ok(best)
}

fn rate_once<F>(threads: usize, work: &F) -> Result<f64, Error>
where
    F: Fn(usize) -> Result<u64, Error> + Sync,
{
    let begin = Instant::now();
    let totals = thread::scope(|scope| {
        let running: Vec<_> =
            (0..threads).map(|number| scope.spawn(move || work(number))).collect();
        let ended =
            running.into_iter().map(|one| one.join().map_err(|_| "a thread ended badly")?);
        ended.collect::<Result<Vec<u64>, Error>>()
    })?;
    let gigabytes = totals.iter().sum::<u64>() as f64 / 1e9;
    Ok(gigabytes / begin.elapsed().as_secs_f64() / threads as f64)
}

/// Each thread takes its own part of the frames through `one`, which says how many bytes that was.
fn over<F>(frames: &[Frame], threads: usize, one: F) -> Result<f64, Error>
where
    F: Fn(&Frame, &mut Tools) -> Result<usize, Error> + Sync,
{
    let work = |number: usize| {
        let mut tools = Tools::new()?;
        let part = frames.iter().skip(number).step_by(threads);
        part.map(|frame| Ok(one(frame, &mut tools)? as u64)).sum()
    };
    rate(threads, work)
}

/// What a worker of a backup or restore has of its own.
struct Tools {
    hasher: BlockHasher,
    compressor: Compressor,
    decompressor: Decompressor,
    buffer: Vec<u8>,
}

impl Tools {
    fn new() -> Result<Self, Error> {
        Ok(Self {
            hasher: BlockHasher::new([7; 32]),
            compressor: Compressor::new(ZST)?,
            decompressor: Decompressor::new(CompressType::Zst),
            buffer: Vec::with_capacity(2 * FRAME_RAW_MAX),
        })
    }
}

fn digest(frame: &Frame, tools: &mut Tools) -> Result<usize, Error> {
    for block in frame.raw.chunks(PAGE as usize) {
        black_box(tools.hasher.digest(block));
    }
    Ok(frame.raw.len())
}

fn check(frame: &Frame, _: &mut Tools) -> Result<usize, Error> {
    let damaged = check_pages(&frame.raw, PAGE, frame.first_block, Lsn(u64::MAX));
    match damaged.is_empty() {
        true => Ok(frame.raw.len()),
        false => Err(format!("pages {damaged:?} are damaged, or have no checksums").into()),
    }
}

fn compress(frame: &Frame, tools: &mut Tools) -> Result<usize, Error> {
    tools.buffer.clear();
    tools.compressor.compress_frame(&frame.raw, &mut tools.buffer)?;
    Ok(frame.raw.len())
}

fn decompress(frame: &Frame, tools: &mut Tools) -> Result<usize, Error> {
    tools.buffer.clear();
    tools.decompressor.decompress_frame(&frame.stored, frame.raw.len(), &mut tools.buffer)?;
    Ok(frame.raw.len())
}

fn sha256(frame: &Frame, _: &mut Tools) -> Result<usize, Error> {
    black_box(Sha256Hasher::digest(&frame.raw));
    Ok(frame.raw.len())
}

/// Writes the frames into a file of its own beside the data directory, and syncs it.
fn write(frames: &[Frame], number: usize, threads: usize, data: &Path) -> Result<u64, Error> {
    let directory = data.parent().ok_or("the data directory has nothing above it")?;
    let mut file = tempfile::tempfile_in(directory)?;
    let mut total = 0;
    for frame in frames.iter().skip(number).step_by(threads) {
        file.write_all(&frame.raw)?;
        total += frame.raw.len() as u64;
    }
    file.sync_all()?;
    Ok(total)
}

fn line(what: &str, one: f64, each_of_all: f64) {
    let seconds = 1.0 / each_of_all;
    println!("| {what} | {one:.2} | {each_of_all:.2} | {seconds:.3} |");
}

fn measure(data: &Path) -> Result<(), Error> {
    let files = relations(data)?;
    let mut frames = frames(&files)?;
    let mut tools = Tools::new()?;
    for frame in &mut frames {
        tools.compressor.compress_frame(&frame.raw, &mut frame.stored)?;
    }
    let (raw, stored) = frames
        .iter()
        .fold((0, 0), |(raw, stored), frame| (raw + frame.raw.len(), stored + frame.stored.len()));
    let all = thread::available_parallelism()?.get();
    println!(
        "{} MB of relations, zst 3 makes {:.1} % of them\n",
        raw / 1_000_000,
        100.0 * stored as f64 / raw as f64
    );
    println!("| | GB/s, one thread | GB/s and core, {all} threads | s for a GB and core |");
    println!("| --- | --- | --- | --- |");
    let read = |threads| rate(threads, |_| read_all(&files));
    line("read from the page cache", read(1)?, read(all)?);
    type Step = fn(&Frame, &mut Tools) -> Result<usize, Error>;
    let steps: [(&str, Step); 5] = [
        ("check pages", check),
        ("digest blocks, BLAKE3", digest),
        ("compress, zst 3", compress),
        ("decompress", decompress),
        ("SHA-256", sha256),
    ];
    for (what, step) in steps {
        line(what, over(&frames, 1, step)?, over(&frames, all, step)?);
    }
    let wrote = |threads| rate(threads, |number| write(&frames, number, threads, data));
    line("write and sync", wrote(1)?, wrote(all)?);
    Ok(())
}

fn main() -> Result<(), Error> {
    match env::args().skip(1).find(|word| !word.starts_with('-')) {
        Some(data) => measure(&fs::canonicalize(data)?),
        // `cargo bench` runs all benchmarks, and this one needs a cluster.
        None => {
            println!("{USAGE}");
            Ok(())
        }
    }
}
