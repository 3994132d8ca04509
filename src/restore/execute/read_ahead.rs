//! Fetches what the next units need while the workers are busy with those before. For stores behind a network: there a
//! read takes as long as the way to the store, a few large ones are cheaper than many small ones, and several at a time
//! are as quick as one. What units need side by side in a bundle is one read.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use super::{
    pool::Units,
    source::Source,
    units::Unit,
    worker::{GAP_MAX, Shared},
};
use crate::{
    repo::{self, block_map::FrameRef},
    restore::Error,
    work::{self, Task},
};

/// The stored bytes of one read, and about those that units are gathered for.
const READ_MAX: u64 = 16 << 20;
/// The stored bytes that are on their way, or there and not yet used up.
const ROOM: u64 = 128 << 20;
/// Units that are gathered at most, however little they need.
const UNITS_MAX: usize = 64;
/// Units that may wait for a worker with their bytes.
pub(super) const UNITS_AHEAD_MAX: usize = 256;
const KIB: u64 = 1 << 10;

/// A stretch of a bundle that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stretch {
    reference: u32,
    bundle: u32,
    range: Range<u64>,
}

impl Stretch {
    fn of(frame: &FrameRef) -> Self {
        // The header says how the frames are compressed, and otherwise costs a read of its own.
        let start = if frame.offset <= GAP_MAX { 0 } else { frame.offset };
        Self { reference: frame.reference, bundle: frame.bundle, range: start..frame.end() }
    }

    fn holds(&self, frame: &FrameRef) -> bool {
        (self.reference, self.bundle) == (frame.reference, frame.bundle)
            && self.range.start <= frame.offset
            && frame.end() <= self.range.end
    }

    /// Whether a frame that is not held becomes part of it; then it is.
    fn grows_by(&mut self, frame: &FrameRef) -> bool {
        let grows = (self.reference, self.bundle) == (frame.reference, frame.bundle)
            && self.range.start <= frame.offset
            && frame.offset <= self.range.end.saturating_add(GAP_MAX)
            && frame.end() - self.range.start <= READ_MAX;
        if grows {
            self.range.end = self.range.end.max(frame.end());
        }
        grows
    }

    fn len(&self) -> u64 {
        self.range.end - self.range.start
    }
}

/// A stretch on its way, or there. The reading ends with the last unit that needs it.
#[derive(Debug)]
pub(super) struct Ahead {
    stretch: Stretch,
    fetch: Mutex<Fetch>,
    _room: Arc<OwnedSemaphorePermit>,
}

#[derive(Debug)]
enum Fetch {
    OnTheWay(Task<Result<Bytes, repo::Error>>),
    There(Bytes),
    /// Who asked first was told why.
    Failed,
}

impl Ahead {
    /// Whether a frame lies in the stretch.
    pub(super) fn holds(&self, frame: &FrameRef) -> bool {
        self.stretch.holds(frame)
    }

    /// The stored bytes of a frame that lies in the stretch. `None` where the read failed and another worker was told.
    pub(super) async fn frame(&self, frame: &FrameRef) -> Result<Option<Bytes>, repo::Error> {
        let mut fetch = self.fetch.lock().await;
        if let Fetch::OnTheWay(task) = &mut *fetch {
            let fetched = task.await;
            *fetch = Fetch::Failed;
            *fetch = Fetch::There(fetched??);
        }
        let Fetch::There(bytes) = &*fetch else { return Ok(None) };
        let from = (frame.offset - self.stretch.range.start) as usize;
        Ok(Some(bytes.slice(from..from + frame.stored_len as usize)))
    }
}

/// Units on their way to the workers, in order.
pub(super) struct ReadAhead {
    shared: Arc<Shared>,
    room: Arc<Semaphore>,
    to: Units,
    gathered: Vec<Unit>,
    stretches: Vec<Stretch>,
}

impl ReadAhead {
    pub(super) fn new(shared: Arc<Shared>, to: Units) -> Self {
        let room = Arc::new(Semaphore::new((ROOM / KIB) as usize));
        Self { shared, room, to, gathered: Vec::new(), stretches: Vec::new() }
    }

    /// Sends a unit on, not necessarily at once.
    pub(super) async fn send(&mut self, unit: Unit) -> Result<(), Error> {
        let frames = wholly_used(&unit, self.shared.source.block_size);
        let stored: u64 = frames.iter().map(|frame| u64::from(frame.stored_len)).sum();
        if self.gathered.len() >= UNITS_MAX || self.gathered_len() + stored > READ_MAX {
            self.flush().await?;
        }
        for frame in &frames {
            let held = self.stretches.iter().any(|stretch| stretch.holds(frame));
            if !held && !self.stretches.last_mut().is_some_and(|last| last.grows_by(frame)) {
                self.stretches.push(Stretch::of(frame));
            }
        }
        self.gathered.push(unit);
        Ok(())
    }

    fn gathered_len(&self) -> u64 {
        self.stretches.iter().map(Stretch::len).sum()
    }

    /// Begins the reads of the units that were gathered, and sends them on.
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        let stretches = std::mem::take(&mut self.stretches);
        let ahead = match stretches.is_empty() {
            true => Vec::new(),
            false => self.begin(stretches).await?,
        };
        let ahead: Arc<[Ahead]> = ahead.into();
        for mut unit in self.gathered.drain(..) {
            unit.ahead = Arc::clone(&ahead);
            self.to.give(unit).await?;
        }
        Ok(())
    }

    /// Begins reads as soon as there is room for what they bring.
    async fn begin(&self, stretches: Vec<Stretch>) -> Result<Vec<Ahead>, Error> {
        let bytes: u64 = stretches.iter().map(Stretch::len).sum();
        let kib = bytes.div_ceil(KIB).min(ROOM / KIB) as u32;
        let room = tokio::select! {
            room = Arc::clone(&self.room).acquire_many_owned(kib) => room,
            // Units that no worker takes any more keep their room.
            () = self.to.given_up() => return Err(work::Error::Cancelled.into()),
        };
        let room = Arc::new(room.map_err(|_| work::Error::Cancelled)?);
        let begin = |stretch: Stretch| {
            let task = Task::start(fetch(Arc::clone(&self.shared), stretch.clone()));
            Ahead { stretch, fetch: Mutex::new(Fetch::OnTheWay(task)), _room: Arc::clone(&room) }
        };
        Ok(stretches.into_iter().map(begin).collect())
    }
}

async fn fetch(shared: Arc<Shared>, stretch: Stretch) -> Result<Bytes, repo::Error> {
    let source: &Source = &shared.source;
    let Stretch { reference, bundle, range } = stretch;
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
    used.sort_by_key(|(frame, _)| super::worker::position(frame));
    used.dedup_by(|next, before| {
        let same = next.0 == before.0;
        before.1 += if same { next.1 } else { 0 };
        same
    });
    let most = used.into_iter().filter(|(frame, len)| 2 * len > frame.raw_len as usize);
    most.map(|(frame, _)| frame).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(bundle: u32, offset: u64, stored_len: u32) -> FrameRef {
        FrameRef { reference: 0, bundle, offset, stored_len, raw_len: 1 << 20 }
    }

    #[test]
    fn neighbours_are_one_read_and_the_header_comes_with_the_first() {
        let mut stretch = Stretch::of(&frame(1, 16, 1000));
        assert_eq!(stretch.range, 0..1016);
        assert!(stretch.grows_by(&frame(1, 1016 + GAP_MAX, 10)));
        assert_eq!(stretch.range, 0..1026 + GAP_MAX);
        assert!(stretch.holds(&frame(1, 500, 20)));
        for other in [frame(2, 1100, 10), frame(1, 9 << 20, 10)] {
            assert!(!stretch.holds(&other) && !stretch.grows_by(&other), "{other:?}");
        }
        let end = READ_MAX - stretch.range.end;
        assert!(!stretch.grows_by(&frame(1, stretch.range.end, end as u32 + 1)));
        assert!(stretch.grows_by(&frame(1, stretch.range.end, end as u32)));
        assert_eq!(stretch.len(), READ_MAX);
    }
}
