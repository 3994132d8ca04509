//! Verifies one bundle in a single pass: digests all of it, decompresses every frame that a block map refers to, and
//! compares the blocks in them with their digests.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::runtime::Handle;

use super::{
    FaultKind,
    claims::{BundleClaims, BundleKey, ClaimedBlocks},
    findings::describe,
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
    types::{BlockDigest, CompressType, Sha256, counted},
};

pub(super) const PANICKED: &str = "its verification panicked, so its state is unknown";

#[derive(Debug)]
pub(super) struct BundleJob {
    pub(super) path: ObjectPath,
    pub(super) kind: ObjectKind,
    /// `None` for a map bundle.
    pub(super) key: Option<BundleKey>,
    /// `None` if its file list could not be read.
    pub(super) record: Option<ObjectRecord>,
    /// Read the whole bundle, or only the frames that are claimed.
    pub(super) whole: bool,
    pub(super) claims: BundleClaims,
    pub(super) hasher: BlockHasher,
    pub(super) block_size: u32,
}

#[derive(Debug)]
pub(super) struct BundleOutcome {
    pub(super) path: ObjectPath,
    pub(super) key: Option<BundleKey>,
    pub(super) whole: bool,
    /// The faults of the object.
    pub(super) wrong: Vec<(FaultKind, String)>,
    /// Its SHA-256, if that is not the recorded one.
    pub(super) other_sha256: Option<Sha256>,
    /// Nothing of it can be read.
    pub(super) all_bad: bool,
    /// Offsets of frames that cannot be decompressed.
    pub(super) bad_frames: Vec<u64>,
    /// Offsets of frames that could not be read, whose state is unknown.
    pub(super) unread_frames: Vec<u64>,
    /// Blocks that do not match: offset of the frame, offset in the decompressed frame, expected digest.
    pub(super) bad_blocks: Vec<(u64, u32, BlockDigest)>,
    /// Stored bytes that were read.
    pub(super) read: u64,
    /// Raw bytes of those.
    pub(super) raw: u64,
    pub(super) busy: Duration,
}

impl BundleOutcome {
    pub(super) fn panicked(job: &BundleJob) -> Self {
        let wrong = vec![(FaultKind::Unproven, PANICKED.to_owned())];
        Self { wrong, all_bad: true, ..Self::of(job) }
    }

    fn of(job: &BundleJob) -> Self {
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

/// The state of a worker thread. Buffers and decompressors are reused for the next bundle.
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

    pub(super) fn prove(&mut self, job: &mut BundleJob) -> BundleOutcome {
        let started = Instant::now();
        job.claims.blocks.sort_unstable();
        let mut outcome = BundleOutcome::of(job);
        let done = if job.whole {
            self.read_whole(job, &mut outcome)
        } else {
            self.read_frames(job, &mut outcome)
        };
        if let Err(error) = done {
            outcome.wrong.push(describe(&error));
            outcome.all_bad |= outcome.read == 0;
        }
        summarise(&mut outcome);
        outcome.busy = started.elapsed();
        outcome
    }

    fn read_whole(
        &mut self,
        job: &BundleJob,
        outcome: &mut BundleOutcome,
    ) -> Result<(), repo::Error> {
        let runtime = self.runtime.clone();
        let mut download = runtime.block_on(self.storage.get(&job.path))?;
        let mut frames = job.claims.blocks.chunk_by(ClaimedBlocks::same_frame).peekable();
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

    /// Fetches only the frames that are claimed.
    fn read_frames(
        &mut self,
        job: &BundleJob,
        outcome: &mut BundleOutcome,
    ) -> Result<(), repo::Error> {
        let runtime = self.runtime.clone();
        let start = self.storage.get_range(&job.path, 0..HEADER_LEN as u64);
        let compress = self.header(job, &runtime.block_on(start)?)?.compress;
        outcome.read += HEADER_LEN as u64;
        for frame in job.claims.blocks.chunk_by(ClaimedBlocks::same_frame) {
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

    fn header(&self, job: &BundleJob, bytes: &[u8]) -> Result<ObjectHeader, repo::Error> {
        ObjectHeader::decode(bytes, job.kind, &metadata::object_name(&*self.storage, &job.path))
    }

    /// Decompresses a frame and compares its blocks with their digests.
    fn frame(
        &mut self,
        job: &BundleJob,
        compress: CompressType,
        blocks: &[ClaimedBlocks],
        stored: &[u8],
        outcome: &mut BundleOutcome,
    ) {
        let slot = &mut self.decompressors[compress as usize];
        let decompressor = slot.get_or_insert_with(|| Decompressor::new(compress));
        self.raw.clear();
        let raw_len = blocks[0].raw_len as usize;
        if decompressor.decompress_frame(stored, raw_len, &mut self.raw).is_err() {
            outcome.bad_frames.push(blocks[0].offset);
            return;
        }
        outcome.raw += raw_len as u64;
        for claimed in blocks {
            let from = claimed.raw_offset as usize;
            let Some(bytes) = self.raw.get(from..from + claimed.len as usize) else {
                outcome.bad_frames.push(claimed.offset);
                continue;
            };
            let digests = &job.claims.digests[claimed.digests_from as usize..];
            let blocks = bytes.chunks(job.block_size as usize).zip(digests);
            for (index, (block, digest)) in blocks.enumerate() {
                if job.hasher.digest(block) != *digest {
                    let raw_offset = claimed.raw_offset + index as u32 * job.block_size;
                    outcome.bad_blocks.push((claimed.offset, raw_offset, *digest));
                }
            }
        }
    }
}

/// Compares size and SHA-256 with the record.
fn compare(job: &BundleJob, outcome: &mut BundleOutcome, sha256: Sha256) {
    let Some(record) = job.record else { return };
    if outcome.read != record.size {
        let what = format!("it has {} bytes, but {} were stored", outcome.read, record.size);
        outcome.wrong.push((FaultKind::Damaged, what));
    }
    if sha256 != record.sha256 {
        let what = "its SHA-256 does not match what was recorded".to_owned();
        outcome.wrong.push((FaultKind::Damaged, what));
        outcome.other_sha256 = Some(sha256);
    }
}

/// Adds the faults of frames and blocks.
fn summarise(outcome: &mut BundleOutcome) {
    // Each backup that shares a block claims it.
    outcome.bad_frames.dedup();
    outcome.bad_blocks.sort_unstable();
    outcome.bad_blocks.dedup();
    let (frames, blocks) = (outcome.bad_frames.len(), outcome.bad_blocks.len());
    if let Some(first) = outcome.bad_frames.first() {
        let frames = counted(frames as u64, "frame");
        let what = format!("{frames} cannot be decompressed, the first at offset {first}");
        outcome.wrong.push((FaultKind::Damaged, what));
    }
    if blocks > 0 {
        let what = if blocks == 1 {
            "1 block does not match its digest".to_owned()
        } else {
            format!("{blocks} blocks do not match their digests")
        };
        outcome.wrong.push((FaultKind::Damaged, what));
    }
}

/// The range of a bundle that was read and may still be needed.
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

    /// The bytes of a frame that was read completely.
    fn part(&self, claimed: &ClaimedBlocks) -> &[u8] {
        let from = claimed.offset.saturating_sub(self.start) as usize;
        self.bytes.get(from..from + claimed.stored_len as usize).unwrap_or_default()
    }
}
