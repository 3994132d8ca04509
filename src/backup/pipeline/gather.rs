//! Gathers changed blocks of many files in frames of their own: a block here and there would compress
//! badly by itself. Where a block will be stored is known only when its frame is complete, so a block is
//! given the number of its frame first.

use std::collections::VecDeque;

use super::{
    frame::StoredFrame,
    workers::{Compressing, Promised},
};
use crate::{
    backup::Error,
    repo::{
        block_map::{FRAME_RAW_MAX, FrameRef},
        bundle::{BundlePosition, BundleWriter},
    },
};

/// Bytes of files after which a frame is closed, however small it is:
/// files wait for it, and their maps with them.
const SPAN_MAX: u64 = 1 << 30;
/// How many frames may be compressed at a time; it bounds the memory.
const IN_FLIGHT_MAX: usize = 8;

/// Gathers blocks, has them compressed, and places the frames in their order.
pub(super) struct Gatherer {
    compressing: Compressing,
    /// The frame being filled.
    raw: Vec<u8>,
    /// The bytes of files that went by since it was begun.
    span: u64,
    in_flight: VecDeque<Promised<StoredFrame>>,
    /// Frames that are stored and still asked for, and the number of the first of them.
    placed: VecDeque<FrameRef>,
    placed_first: u64,
}

/// The place of a gathered block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// The number of the frame among those that were gathered.
    pub number: u64,
    /// Where the block begins in the raw frame, in bytes.
    pub raw_offset: u32,
}

impl Gatherer {
    pub(super) fn new(compressing: Compressing) -> Self {
        Self {
            compressing,
            raw: Vec::new(),
            span: 0,
            in_flight: VecDeque::new(),
            placed: VecDeque::new(),
            placed_first: 0,
        }
    }

    /// Says that bytes of files went by; closes a frame that has waited for long.
    pub(super) async fn pass(&mut self, len: u64, data: &mut BundleWriter) -> Result<(), Error> {
        self.span += len;
        if self.span >= SPAN_MAX { self.close(data).await } else { Ok(()) }
    }

    /// Takes blocks of one file that follow each other. They must fit a frame.
    pub(super) async fn take(
        &mut self,
        blocks: &[u8],
        data: &mut BundleWriter,
    ) -> Result<Slot, Error> {
        if self.raw.len() + blocks.len() > FRAME_RAW_MAX {
            self.close(data).await?;
        }
        let slot = Slot { number: self.next_number(), raw_offset: self.raw.len() as u32 };
        self.raw.reserve_exact(FRAME_RAW_MAX.saturating_sub(self.raw.len()));
        self.raw.extend_from_slice(blocks);
        Ok(slot)
    }

    /// The number of the frame being filled.
    fn next_number(&self) -> u64 {
        self.placed_first + (self.placed.len() + self.in_flight.len()) as u64
    }

    /// Has the frame compressed, and stores the oldest ones where too many are under way.
    pub(super) async fn close(&mut self, data: &mut BundleWriter) -> Result<(), Error> {
        self.span = 0;
        if self.raw.is_empty() {
            return Ok(());
        }
        let raw = std::mem::take(&mut self.raw);
        self.in_flight.push_back(self.compressing.give(raw).await?);
        while self.in_flight.len() > IN_FLIGHT_MAX {
            self.place_oldest(data).await?;
        }
        Ok(())
    }

    /// Stores every frame.
    pub(super) async fn finish(&mut self, data: &mut BundleWriter) -> Result<(), Error> {
        self.close(data).await?;
        while !self.in_flight.is_empty() {
            self.place_oldest(data).await?;
        }
        Ok(())
    }

    async fn place_oldest(&mut self, data: &mut BundleWriter) -> Result<(), Error> {
        let Some(promised) = self.in_flight.pop_front() else { return Ok(()) };
        let frame = promised.await??;
        self.placed.push_back(place(frame, data).await?);
        Ok(())
    }

    /// The place of a stored frame; `None` before it is stored.
    pub(super) fn placed(&self, number: u64) -> Option<FrameRef> {
        let index = usize::try_from(number.checked_sub(self.placed_first)?).ok()?;
        self.placed.get(index).copied()
    }

    /// Says that frames before `number` will not be asked for any more.
    pub(super) fn forget_before(&mut self, number: u64) {
        while self.placed_first < number && self.placed.pop_front().is_some() {
            self.placed_first += 1;
        }
    }
}

/// Stores a frame.
pub(super) async fn place(frame: StoredFrame, data: &mut BundleWriter) -> Result<FrameRef, Error> {
    let (stored_len, raw_len) = (frame.stored.len() as u32, frame.raw_len);
    let BundlePosition { bundle, offset } = data.append(frame.stored.into()).await?;
    Ok(FrameRef { reference: 0, bundle, offset, stored_len, raw_len })
}
