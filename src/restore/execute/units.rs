//! Cuts the work into units: a stretch of neighbouring small files, or a slice of a large one. Files
//! that share a frame stay together, so that each frame is fetched and decompressed once.

use std::{ops::Range, sync::Arc};

use super::{fetched_range::FetchedRange, file_job::FileJob};
use crate::repo::block_map::{BlockMap, FrameRef};

/// The raw bytes after which a unit is complete, and the size from which a file is sliced.
pub(super) const UNIT_RAW: u64 = 8 << 20;
/// The number of files after which a unit is complete.
const UNIT_FILES: usize = 256;

/// Some or all extents of a file.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// The file.
    pub(super) job: Arc<FileJob>,
    /// Its block map.
    pub(super) map: Arc<BlockMap>,
    /// The runs of the map that belong to this part.
    pub(super) runs: Range<usize>,
}

/// What a worker does in one go.
#[derive(Debug, Default)]
pub(super) struct Unit {
    /// The files, or the slice of one.
    pub(super) parts: Vec<Part>,
    /// The raw bytes of all parts.
    pub(super) raw: u64,
    /// What is fetched for this unit and its neighbours before a worker has it; may be empty.
    pub(super) ahead: Arc<[FetchedRange]>,
}

/// Gathers files into units.
#[derive(Debug)]
pub(super) struct UnitBuilder {
    block_size: u32,
    unit: Unit,
    last_frame: Option<FrameRef>,
}

impl UnitBuilder {
    pub(super) fn new(block_size: u32) -> Self {
        Self { block_size, unit: Unit::default(), last_frame: None }
    }

    /// Adds a file and appends complete units to `out`.
    pub(super) fn push(&mut self, job: FileJob, map: Arc<BlockMap>, out: &mut Vec<Unit>) {
        let full = self.unit.raw >= UNIT_RAW || self.unit.parts.len() >= UNIT_FILES;
        let shares = self.last_frame.is_some() && self.last_frame == map.frames.first().copied();
        let sliced = job.size() >= UNIT_RAW;
        if (full || sliced) && !shares {
            self.flush(out);
        }
        self.last_frame = map.frames.last().copied();
        if !sliced {
            self.unit.raw += job.size();
            let runs = 0..map.runs.len();
            self.unit.parts.push(Part { job: Arc::new(job), map, runs });
            return;
        }
        self.flush(out);
        self.slice(job, map, out);
    }

    /// Appends the last unit to `out`.
    pub(super) fn finish(mut self, out: &mut Vec<Unit>) {
        self.flush(out);
    }

    fn flush(&mut self, out: &mut Vec<Unit>) {
        if !self.unit.parts.is_empty() {
            out.push(std::mem::take(&mut self.unit));
        }
    }

    fn slice(&mut self, job: FileJob, map: Arc<BlockMap>, out: &mut Vec<Unit>) {
        let slices = slices(&map, job.size(), self.block_size);
        job.expect_parts(slices.len());
        let job = Arc::new(job);
        for (runs, raw) in slices {
            let part = Part { job: Arc::clone(&job), map: Arc::clone(&map), runs };
            out.push(Unit { parts: vec![part], raw, ..Unit::default() });
        }
    }
}

/// Runs of a large file in stretches of about [`UNIT_RAW`] raw bytes.
fn slices(map: &BlockMap, size: u64, block_size: u32) -> Vec<(Range<usize>, u64)> {
    let mut slices = Vec::new();
    let (mut start, mut raw) = (0, 0);
    for (index, extent) in map.extents(size, block_size).enumerate() {
        raw += extent.len as u64;
        if raw >= UNIT_RAW || index + 1 == map.runs.len() {
            slices.push((start..index + 1, raw));
            (start, raw) = (index + 1, 0);
        }
    }
    slices
}
