//! Proves one bundle: a read from its start to its end digests all of it, decompresses every frame that
//! a block map claims, and holds the blocks in them against their digests.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::runtime::Handle;

use super::{
    FaultKind,
    claims::{BundleClaims, BundleKey, Piece},
    report::describe,
};
use crate::{
    codec::{BlockHasher, Decompressor, Sha256Hasher},
    repo::{
        self,
        manifest::ObjectRecord,
        metadata,
        object_header::{HEADER_LEN, ObjectHeader, ObjectKind},
    },
    storage::{ObjectPath, Storage},
    types::{BlockDigest, CompressType, Sha256},
};

/// What is said of an object whose proof ended by a panic.
pub(super) const PANICKED: &str = "proving it ended by a panic, so nothing is known of it";

/// A bundle to prove.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) path: ObjectPath,
    pub(super) kind: ObjectKind,
    /// The place of a bundle of frames in its chain.
    pub(super) key: Option<BundleKey>,
    /// What is recorded of it; `None` where its file list could not be read.
    pub(super) record: Option<ObjectRecord>,
    /// Whether all of it is to be read, or only the frames that are claimed.
    pub(super) whole: bool,
    pub(super) claims: BundleClaims,
    pub(super) hasher: BlockHasher,
    pub(super) block_size: u32,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) path: ObjectPath,
    pub(super) key: Option<BundleKey>,
    pub(super) whole: bool,
    /// What is wrong with the object.
    pub(super) wrong: Vec<(FaultKind, String)>,
    /// The SHA-256 that it has, where that is not the recorded one.
    pub(super) other_sha256: Option<Sha256>,
    /// Whether none of it can be read.
    pub(super) all_bad: bool,
    /// The offsets of frames that cannot be decompressed.
    pub(super) bad_frames: Vec<u64>,
    /// The offsets of frames that could not be read, of which nothing is known.
    pub(super) unread_frames: Vec<u64>,
    /// Blocks that do not match: offset of the frame, offset in the raw frame, digest expected.
    pub(super) bad_blocks: Vec<(u64, u32, BlockDigest)>,
    /// Stored bytes that were read.
    pub(super) read: u64,
    /// Raw bytes that came out of them.
    pub(super) raw: u64,
    /// How long it took.
    pub(super) busy: Duration,
}

impl Outcome {
    /// The outcome of a job whose proof ended by a panic.
    pub(super) fn panicked(job: &Job) -> Self {
        let wrong = vec![(FaultKind::Unproven, PANICKED.to_owned())];
        Self { wrong, all_bad: true, ..Self::of(job) }
    }

    fn of(job: &Job) -> Self {
        Self {
            path: job.path.clone(),
            key: job.key,
            whole: job.whole,
            wrong: Vec::new(),
            other_sha256: None,
            all_bad: false,
            bad_frames: Vec::new(),
            unread_frames: Vec::new(),
            bad_blocks: Vec::new(),
            read: 0,
            raw: 0,
            busy: Duration::ZERO,
        }
    }
}

/// A worker's state, kept from bundle to bundle.
pub(super) struct Prover {
    storage: Arc<dyn Storage>,
    runtime: Handle,
    raw: Vec<u8>,
    decompressors: [Option<Decompressor>; 4],
}

impl Prover {
    pub(super) fn new(storage: Arc<dyn Storage>, runtime: Handle) -> Self {
        Self { storage, runtime, raw: Vec::new(), decompressors: [const { None }; 4] }
    }

    /// Proves a bundle.
    pub(super) fn prove(&mut self, job: &mut Job) -> Outcome {
        let started = Instant::now();
        job.claims.pieces.sort_unstable();
        let mut outcome = Outcome::of(job);
        let done = match job.whole {
            true => self.read_whole(job, &mut outcome),
            false => self.read_frames(job, &mut outcome),
        };
        if let Err(error) = done {
            outcome.wrong.push(describe(&error));
            outcome.all_bad |= outcome.read == 0;
        }
        summarise(&mut outcome);
        outcome.busy = started.elapsed();
        outcome
    }

    fn read_whole(&mut self, job: &Job, outcome: &mut Outcome) -> Result<(), repo::Error> {
        let runtime = self.runtime.clone();
        let mut download = runtime.block_on(self.storage.get(&job.path))?;
        let mut frames = job.claims.pieces.chunk_by(Piece::same_frame).peekable();
        let (mut sha256, mut window, mut header) = (Sha256Hasher::new(), Window::default(), None);
        loop {
            let chunk = match runtime.block_on(download.next()) {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(error) => {
                    outcome.unread_frames.extend(frames.map(|frame| frame[0].offset));
                    return Err(error.into());
                }
            };
            sha256.update(&chunk);
            outcome.read += chunk.len() as u64;
            if header.is_some() {
                window.drop_before(frames.peek().map_or(u64::MAX, |frame| frame[0].offset));
            }
            window.bytes.extend_from_slice(&chunk);
            if header.is_none() && window.bytes.len() >= HEADER_LEN {
                header = Some(self.header(job, &window.bytes)?.compress);
            }
            let Some(compress) = header else { continue };
            while let Some(frame) = frames.next_if(|frame| frame[0].end() <= window.end()) {
                self.frame(job, compress, frame, window.part(&frame[0]), outcome);
            }
        }
        if header.is_none() {
            self.header(job, &window.bytes)?;
        }
        outcome.bad_frames.extend(frames.map(|frame| frame[0].offset));
        compare(job, outcome, sha256.finish());
        Ok(())
    }

    /// Fetches nothing but the frames that are claimed.
    fn read_frames(&mut self, job: &Job, outcome: &mut Outcome) -> Result<(), repo::Error> {
        let runtime = self.runtime.clone();
        let start = self.storage.get_range(&job.path, 0..HEADER_LEN as u64);
        let compress = self.header(job, &runtime.block_on(start)?)?.compress;
        outcome.read += HEADER_LEN as u64;
        for frame in job.claims.pieces.chunk_by(Piece::same_frame) {
            let range = frame[0].offset..frame[0].end();
            match runtime.block_on(self.storage.get_range(&job.path, range)) {
                Ok(stored) => {
                    outcome.read += stored.len() as u64;
                    self.frame(job, compress, frame, &stored, outcome);
                }
                Err(error) => {
                    outcome.unread_frames.push(frame[0].offset);
                    let error = describe(&error.into());
                    if !outcome.wrong.contains(&error) {
                        outcome.wrong.push(error);
                    }
                }
            }
        }
        Ok(())
    }

    fn header(&self, job: &Job, bytes: &[u8]) -> Result<ObjectHeader, repo::Error> {
        ObjectHeader::decode(bytes, job.kind, &metadata::object_name(&*self.storage, &job.path))
    }

    /// Decompresses a frame and holds its blocks against their digests.
    fn frame(
        &mut self,
        job: &Job,
        compress: CompressType,
        pieces: &[Piece],
        stored: &[u8],
        outcome: &mut Outcome,
    ) {
        let slot = &mut self.decompressors[compress as usize];
        let decompressor = slot.get_or_insert_with(|| Decompressor::new(compress));
        self.raw.clear();
        let raw_len = pieces[0].raw_len as usize;
        if decompressor.decompress_frame(stored, raw_len, &mut self.raw).is_err() {
            outcome.bad_frames.push(pieces[0].offset);
            return;
        }
        outcome.raw += raw_len as u64;
        for piece in pieces {
            let from = piece.raw_offset as usize;
            let Some(bytes) = self.raw.get(from..from + piece.len as usize) else {
                outcome.bad_frames.push(piece.offset);
                continue;
            };
            let digests = &job.claims.digests[piece.digests_from as usize..];
            let blocks = bytes.chunks(job.block_size as usize).zip(digests);
            for (index, (block, digest)) in blocks.enumerate() {
                if job.hasher.digest(block) != *digest {
                    let raw_offset = piece.raw_offset + index as u32 * job.block_size;
                    outcome.bad_blocks.push((piece.offset, raw_offset, *digest));
                }
            }
        }
    }
}

/// Holds what was read against what was recorded.
fn compare(job: &Job, outcome: &mut Outcome, sha256: Sha256) {
    let Some(record) = job.record else { return };
    if outcome.read != record.size {
        let what = format!("it has {} bytes, and {} were stored", outcome.read, record.size);
        outcome.wrong.push((FaultKind::Damaged, what));
    }
    if sha256 != record.sha256 {
        let what = "its SHA-256 does not match what was recorded".to_owned();
        outcome.wrong.push((FaultKind::Damaged, what));
        outcome.other_sha256 = Some(sha256);
    }
}

/// Says in a sentence what is wrong with frames and blocks.
fn summarise(outcome: &mut Outcome) {
    // Backups that share a block claim it each.
    outcome.bad_frames.dedup();
    outcome.bad_blocks.sort_unstable();
    outcome.bad_blocks.dedup();
    let (frames, blocks) = (outcome.bad_frames.len(), outcome.bad_blocks.len());
    if let Some(first) = outcome.bad_frames.first() {
        let what = format!("{frames} frame(s) cannot be read, the first at offset {first}");
        outcome.wrong.push((FaultKind::Damaged, what));
    }
    if blocks > 0 {
        let what = format!("{blocks} block(s) do not match their digests");
        outcome.wrong.push((FaultKind::Damaged, what));
    }
}

/// The part of a bundle that was read and may still be needed.
#[derive(Default)]
struct Window {
    bytes: Vec<u8>,
    start: u64,
}

impl Window {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    fn drop_before(&mut self, offset: u64) {
        let count = offset.saturating_sub(self.start).min(self.bytes.len() as u64);
        self.bytes.drain(..count as usize);
        self.start += count;
    }

    /// The bytes of a frame, which are all there.
    fn part(&self, piece: &Piece) -> &[u8] {
        let from = piece.offset.saturating_sub(self.start) as usize;
        self.bytes.get(from..from + piece.stored_len as usize).unwrap_or_default()
    }
}
