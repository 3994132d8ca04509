//! Fetches what the next units need while the workers are busy with those before. For stores behind a network: there a
//! read takes as long as the way to the store, a few large ones are cheaper than many small ones, and several at a time
//! are as quick as one. What units need side by side in a bundle is one read.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::{
    fetched_range::{FetchedRange, READ_MAX, StoredRange, position},
    pool::Units,
    source::Source,
    units::Unit,
    worker::Shared,
};
use crate::{
    repo::{self, block_map::FrameRef},
    restore::Error,
    work::{self, Task},
};

/// The stored bytes that are on their way, or there and not yet used up.
const ROOM: u64 = 128 << 20;
/// Units that are gathered at most, however little they need.
const UNITS_MAX: usize = 64;
/// Units that may wait for a worker with their bytes.
pub(super) const UNITS_AHEAD_MAX: usize = 256;
const KIB: u64 = 1 << 10;

/// Units on their way to the workers, in order.
pub(super) struct ReadAhead {
    shared: Arc<Shared>,
    room: Arc<Semaphore>,
    to: Units,
    gathered: Vec<Unit>,
    ranges: Vec<StoredRange>,
}

impl ReadAhead {
    pub(super) fn new(shared: Arc<Shared>, to: Units) -> Self {
        let room = Arc::new(Semaphore::new((ROOM / KIB) as usize));
        Self { shared, room, to, gathered: Vec::new(), ranges: Vec::new() }
    }

    /// Sends a unit on, not necessarily at once.
    pub(super) async fn send(&mut self, unit: Unit) -> Result<(), Error> {
        let frames = wholly_used(&unit, self.shared.source.block_size);
        let stored: u64 = frames.iter().map(|frame| u64::from(frame.stored_len)).sum();
        if self.gathered.len() >= UNITS_MAX || self.gathered_len() + stored > READ_MAX {
            self.flush().await?;
        }
        for frame in &frames {
            let held = self.ranges.iter().any(|range| range.holds(frame));
            if !held && !self.ranges.last_mut().is_some_and(|last| last.grows_by(frame)) {
                self.ranges.push(StoredRange::of(frame));
            }
        }
        self.gathered.push(unit);
        Ok(())
    }

    fn gathered_len(&self) -> u64 {
        self.ranges.iter().map(StoredRange::len).sum()
    }

    /// Begins the reads of the units that were gathered, and sends them on.
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        let ranges = std::mem::take(&mut self.ranges);
        let ahead = match ranges.is_empty() {
            true => Vec::new(),
            false => self.begin(ranges).await?,
        };
        let ahead: Arc<[FetchedRange]> = ahead.into();
        for mut unit in self.gathered.drain(..) {
            unit.ahead = Arc::clone(&ahead);
            self.to.give(unit).await?;
        }
        Ok(())
    }

    /// Begins reads as soon as there is room for what they bring.
    async fn begin(&self, ranges: Vec<StoredRange>) -> Result<Vec<FetchedRange>, Error> {
        let bytes: u64 = ranges.iter().map(StoredRange::len).sum();
        let kib = bytes.div_ceil(KIB).min(ROOM / KIB) as u32;
        let room = tokio::select! {
            room = Arc::clone(&self.room).acquire_many_owned(kib) => room,
            // Units that no worker takes any more keep their room.
            () = self.to.given_up() => return Err(work::Error::Cancelled.into()),
        };
        let room = Arc::new(room.map_err(|_| work::Error::Cancelled)?);
        let begin = |range: StoredRange| {
            let task = Task::start(fetch(Arc::clone(&self.shared), range.clone()));
            FetchedRange::new(range, task, Arc::clone(&room))
        };
        Ok(ranges.into_iter().map(begin).collect())
    }
}

async fn fetch(shared: Arc<Shared>, stored: StoredRange) -> Result<Bytes, repo::Error> {
    let source: &Source = &shared.source;
    let StoredRange { reference, bundle, range } = stored;
    let from_start = range.start == 0;
    let bytes = source.storage.get_range(&source.bundle(reference, bundle)?, range).await?;
    if from_start {
        source.learn_compression(reference, bundle, &bytes)?;
    }
    Ok(bytes)
}

/// The frames of which a unit uses the greater part, in order. Of the others more units need a little each: the worker
/// that has the first of these reads such a frame, and it is kept for the others.
fn wholly_used(unit: &Unit, block_size: u32) -> Vec<FrameRef> {
    let mut used: Vec<(FrameRef, usize)> = Vec::new();
    for part in unit.parts.iter().filter(|part| !part.job.may_reuse()) {
        let extents = part.map.extents(part.job.size(), block_size);
        for extent in extents.skip(part.runs.start).take(part.runs.len()) {
            match used.last_mut() {
                Some((frame, len)) if *frame == extent.frame => *len += extent.len,
                _ => used.push((extent.frame, extent.len)),
            }
        }
    }
    used.sort_by_key(|(frame, _)| position(frame));
    used.dedup_by(|next, before| {
        let same = next.0 == before.0;
        before.1 += if same { next.1 } else { 0 };
        same
    });
    let most = used.into_iter().filter(|(frame, len)| 2 * len > frame.raw_len as usize);
    most.map(|(frame, _)| frame).collect()
}
