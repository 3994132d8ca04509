//! What a worker thread does with a unit: fetch its frames in large reads, decompress each once,
//! prove every block by its digest, and write what was proven.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::{
    delta,
    fetched_range::{GAP_MAX, position},
    file_job::{FileJob, Opened},
    frame_cache::FrameCache,
    owner::Owner,
    source::Source,
    units::{Part, Unit},
    writeback::Writeback,
};
use crate::{
    codec::Decompressor,
    repo::block_map::{Extent, FRAME_RAW_MAX, FrameRef},
    restore::Error,
    types::{BlockDigest, CompressType},
};

/// Files of at least this size go to disk while the work continues.
const WRITEBACK_MIN: u64 = 1 << 20;

/// What all workers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) source: Source,
    pub(super) owner: Owner,
    /// Frames that later units will probably need.
    pub(super) cache: FrameCache,
    /// The greatest read, in bytes; with the number of workers it bounds the memory.
    pub(super) read_max: u64,
}

/// A worker's state: the library's and the buffer are kept from frame to frame.
pub(super) struct Worker {
    shared: Arc<Shared>,
    runtime: Handle,
    raw: Vec<u8>,
    decompressors: [Option<Decompressor>; 4],
    zeros: BlockDigest,
    writeback: Writeback,
}

/// An extent of the unit, with the part whose file it belongs to.
struct Wanted<'a> {
    part: usize,
    extent: Extent<'a>,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, runtime: Handle) -> Self {
        let zeros = vec![0; shared.source.block_size as usize];
        Self {
            zeros: shared.source.hasher.digest(&zeros),
            raw: Vec::with_capacity(FRAME_RAW_MAX + 1),
            decompressors: [const { None }; 4],
            writeback: Writeback::default(),
            shared,
            runtime,
        }
    }

    /// Does a unit; says how many bytes of files are done.
    pub(super) fn run(&mut self, unit: &Unit) -> Result<u64, Error> {
        let mut wanted = self.wanted(&unit.parts)?;
        // Neighbouring files mostly lie in order already, which makes this a look.
        wanted.sort_by_key(|wanted| position(&wanted.extent.frame));
        let mut left = vec![0; unit.parts.len()];
        wanted.iter().for_each(|wanted| left[wanted.part] += 1);
        for (part, _) in unit.parts.iter().zip(&left).filter(|(_, left)| **left == 0) {
            part.job.open()?;
            part.job.end_part(self.shared.owner)?;
        }
        let wanted = self.place_kept(wanted, &unit.parts, &mut left)?;
        let wanted = self.place_ahead(wanted, unit, &mut left)?;
        let mut rest = wanted.as_slice();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(one_read(rest, self.shared.read_max));
            rest = later;
            self.read(now, &unit.parts, &mut left)?;
        }
        Ok(unit.raw)
    }

    /// The extents to fetch: all, or with `--delta` those that the file does not hold already.
    fn wanted<'a>(&mut self, parts: &'a [Part]) -> Result<Vec<Wanted<'a>>, Error> {
        let source = &self.shared.source;
        let mut wanted = Vec::with_capacity(parts.len());
        for (index, part) in parts.iter().enumerate() {
            let extents = part.map.extents(part.job.size(), source.block_size);
            let extents = extents.skip(part.runs.start).take(part.runs.len());
            let mut add = |extent| wanted.push(Wanted { part: index, extent });
            if !part.job.may_reuse() {
                extents.for_each(add);
                continue;
            }
            let opened = part.job.open()?;
            for extent in extents {
                match opened.existed {
                    false => add(extent),
                    true => delta::missing(&part.job, &opened, source, extent, &mut self.raw)?
                        .into_iter()
                        .for_each(&mut add),
                }
            }
            if opened.existed {
                part.job.close();
            }
        }
        Ok(wanted)
    }

    /// Deals with the extents whose frames are kept; returns the others.
    fn place_kept<'a>(
        &mut self,
        wanted: Vec<Wanted<'a>>,
        parts: &[Part],
        left: &mut [usize],
    ) -> Result<Vec<Wanted<'a>>, Error> {
        let mut others = Vec::with_capacity(wanted.len());
        let mut kept: Option<(FrameRef, Option<Arc<[u8]>>)> = None;
        for wanted in wanted {
            let frame = wanted.extent.frame;
            if kept.as_ref().is_none_or(|(of, _)| *of != frame) {
                kept = Some((frame, self.shared.cache.get(&frame)));
            }
            match &kept {
                Some((_, Some(raw))) => {
                    self.place(&wanted, raw, parts)?;
                    self.end_extent(&wanted, parts, left)?;
                }
                _ => others.push(wanted),
            }
        }
        Ok(others)
    }

    /// Deals with the extents whose frames were fetched ahead; returns the others.
    fn place_ahead<'a>(
        &mut self,
        wanted: Vec<Wanted<'a>>,
        unit: &Unit,
        left: &mut [usize],
    ) -> Result<Vec<Wanted<'a>>, Error> {
        if unit.ahead.is_empty() {
            return Ok(wanted);
        }
        let shared = Arc::clone(&self.shared);
        let mut others = Vec::new();
        let mut rest = wanted.into_iter().peekable();
        while let Some(first) = rest.next() {
            let frame = first.extent.frame;
            let mut same = vec![first];
            same.extend(std::iter::from_fn(|| rest.next_if(|next| next.extent.frame == frame)));
            let fetched = unit.ahead.iter().find(|ahead| ahead.holds(&frame));
            let fetched = fetched.map(|ahead| {
                self.runtime.block_on(async {
                    let stored = ahead.frame(&frame).await?;
                    Ok((shared.source.compression(frame.reference, frame.bundle).await?, stored))
                })
            });
            let file = || unit.parts[same[0].part].job.name().clone();
            match fetched.transpose().map_err(|source| Error::Fetch { file: file(), source })? {
                Some((kind, Some(stored))) => {
                    self.place_frame(kind, &stored, &same, &unit.parts, left)?;
                }
                Some((_, None)) | None => others.append(&mut same),
            }
        }
        Ok(others)
    }

    /// An extent is written; completes the part whose last one it was.
    fn end_extent(
        &mut self,
        wanted: &Wanted<'_>,
        parts: &[Part],
        left: &mut [usize],
    ) -> Result<(), Error> {
        left[wanted.part] -= 1;
        if left[wanted.part] == 0 {
            let part = &parts[wanted.part];
            self.begin_writeback(part)?;
            part.job.end_part(self.shared.owner)?;
        }
        Ok(())
    }

    /// Fetches the frames of `wanted` in one read and deals with them one after the other.
    fn read(
        &mut self,
        wanted: &[Wanted<'_>],
        parts: &[Part],
        left: &mut [usize],
    ) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let source = &shared.source;
        let first = &wanted[0].extent.frame;
        let end = wanted.iter().map(|wanted| wanted.extent.frame.end()).max().unwrap_or(0);
        let file = || parts[wanted[0].part].job.name().clone();
        let fetched = self.runtime.block_on(async {
            let kind = source.compression(first.reference, first.bundle).await?;
            let path = source.bundle(first.reference, first.bundle)?;
            Ok((kind, source.storage.get_range(&path, first.offset..end).await?))
        });
        let (kind, bytes) = fetched.map_err(|source| Error::Fetch { file: file(), source })?;
        for same_frame in wanted.chunk_by(|a, b| a.extent.frame == b.extent.frame) {
            let frame = same_frame[0].extent.frame;
            let from = (frame.offset - first.offset) as usize;
            let stored = &bytes[from..from + frame.stored_len as usize];
            self.place_frame(kind, stored, same_frame, parts, left)?;
        }
        Ok(())
    }

    /// Deals with the extents of one frame, whose stored bytes are at hand.
    fn place_frame(
        &mut self,
        kind: CompressType,
        stored: &[u8],
        same_frame: &[Wanted<'_>],
        parts: &[Part],
        left: &mut [usize],
    ) -> Result<(), Error> {
        self.decompress(kind, stored, &same_frame[0], parts)?;
        let raw = std::mem::take(&mut self.raw);
        for wanted in same_frame {
            self.place(wanted, &raw, parts)?;
            self.end_extent(wanted, parts, left)?;
        }
        let used = same_frame.iter().map(|wanted| wanted.extent.len).sum();
        self.shared.cache.keep(&same_frame[0].extent.frame, &raw, used);
        self.raw = raw;
        Ok(())
    }

    /// A part of a large file is complete.
    fn begin_writeback(&mut self, part: &Part) -> Result<(), Error> {
        let (job, block_size) = (&part.job, self.shared.source.block_size);
        if job.size() < WRITEBACK_MIN {
            return Ok(());
        }
        let mut extents = part.map.extents(job.size(), block_size);
        let first = extents.nth(part.runs.start).map_or(0, |extent| extent.file_offset);
        let end = match part.runs.end == part.map.runs.len() {
            true => job.size(),
            false => extents.nth(part.runs.len() - 1).map_or(job.size(), |next| next.file_offset),
        };
        self.writeback.begin(Arc::clone(&job.open()?.file), first..end);
        Ok(())
    }

    fn decompress(
        &mut self,
        kind: CompressType,
        stored: &[u8],
        wanted: &Wanted<'_>,
        parts: &[Part],
    ) -> Result<(), Error> {
        let slot = &mut self.decompressors[kind as usize];
        let decompressor = slot.get_or_insert_with(|| Decompressor::new(kind));
        self.raw.clear();
        let frame = &wanted.extent.frame;
        let done = decompressor.decompress_frame(stored, frame.raw_len as usize, &mut self.raw);
        done.map_err(|source| Error::Frame {
            object: self.object(frame),
            offset: frame.offset,
            file: parts[wanted.part].job.name().clone(),
            block: self.block_number(&wanted.extent),
            source,
        })
    }

    /// Proves the blocks of an extent and writes them.
    fn place(&self, wanted: &Wanted<'_>, raw: &[u8], parts: &[Part]) -> Result<(), Error> {
        let (job, extent) = (&parts[wanted.part].job, &wanted.extent);
        let bytes = &raw[extent.raw_offset..][..extent.len];
        let source = &self.shared.source;
        let block_size = source.block_size as usize;
        let mut holds_zeros = false;
        for (index, block) in bytes.chunks(block_size).enumerate() {
            let digest = extent.digests.get(index).copied();
            if digest != Some(source.hasher.digest(block)) {
                return Err(Error::Block {
                    object: self.object(&extent.frame),
                    file: job.name().clone(),
                    block: self.block_number(extent) + index as u64,
                });
            }
            holds_zeros |= digest == Some(self.zeros);
        }
        let opened = job.open()?;
        match holds_zeros && !opened.existed {
            false => job.write(&opened, bytes, extent.file_offset),
            true => self.write_sparsely(job, &opened, extent, bytes),
        }
    }

    /// Leaves out the blocks that are zeros: a new file reads as zeros where nothing was written.
    fn write_sparsely(
        &self,
        job: &FileJob,
        opened: &Opened,
        extent: &Extent<'_>,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let block_size = self.shared.source.block_size as usize;
        let mut at = 0;
        for alike in extent.digests.chunk_by(|a, b| (*a == self.zeros) == (*b == self.zeros)) {
            let end = (at + alike.len() * block_size).min(bytes.len());
            let offset = extent.file_offset + at as u64;
            match alike[0] == self.zeros {
                true => job.skipped(extent.file_offset + end as u64),
                false => job.write(opened, &bytes[at..end], offset)?,
            }
            at = end;
        }
        Ok(())
    }

    fn object(&self, frame: &FrameRef) -> String {
        match self.shared.source.bundle(frame.reference, frame.bundle) {
            Ok(path) => self.shared.source.object(&path),
            Err(_) => format!("bundle {}", frame.bundle),
        }
    }

    fn block_number(&self, extent: &Extent<'_>) -> u64 {
        extent.file_offset / u64::from(self.shared.source.block_size)
    }
}

/// How many of `wanted`, which are in order of their frames, one read can serve.
fn one_read(wanted: &[Wanted<'_>], read_max: u64) -> usize {
    let first = &wanted[0].extent.frame;
    let mut end = first.end();
    for (index, wanted) in wanted.iter().enumerate() {
        let frame = &wanted.extent.frame;
        let near = (frame.reference, frame.bundle) == (first.reference, first.bundle)
            && frame.offset <= end.saturating_add(GAP_MAX)
            && frame.end() - first.offset <= read_max;
        // Frames that overlap without being the same are no frames of ours, but do no harm.
        if index > 0 && !near && *frame != *first {
            return index;
        }
        end = end.max(frame.end());
    }
    wanted.len()
}
