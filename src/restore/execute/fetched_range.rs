//! Ranges of a bundle that are fetched before a worker needs them.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use tokio::sync::{Mutex, OwnedSemaphorePermit};

use crate::{
    repo::{self, block_map::FrameRef},
    work::Task,
};

/// The stored bytes of one read, and about those that units are gathered for.
pub(super) const READ_MAX: u64 = 16 << 20;
/// Frames that are no further apart than this are fetched in one read.
pub(super) const GAP_MAX: u64 = 64 << 10;

/// A range of a bundle that units need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredRange {
    pub(super) reference: u32,
    pub(super) bundle: u32,
    pub(super) range: Range<u64>,
}

impl StoredRange {
    pub(super) fn of(frame: &FrameRef) -> Self {
        // The header says how the frames are compressed, and otherwise costs a read of its own.
        let start = if frame.offset <= GAP_MAX { 0 } else { frame.offset };
        Self { reference: frame.reference, bundle: frame.bundle, range: start..frame.end() }
    }

    pub(super) fn holds(&self, frame: &FrameRef) -> bool {
        (self.reference, self.bundle) == (frame.reference, frame.bundle)
            && self.range.start <= frame.offset
            && frame.end() <= self.range.end
    }

    /// Whether a frame that is not held becomes part of it; then it is.
    pub(super) fn grows_by(&mut self, frame: &FrameRef) -> bool {
        let grows = (self.reference, self.bundle) == (frame.reference, frame.bundle)
            && self.range.start <= frame.offset
            && frame.offset <= self.range.end.saturating_add(GAP_MAX)
            && frame.end() - self.range.start <= READ_MAX;
        if grows {
            self.range.end = self.range.end.max(frame.end());
        }
        grows
    }

    pub(super) fn len(&self) -> u64 {
        self.range.end - self.range.start
    }
}

/// A range that is being fetched, or was. The fetch ends with the last unit that needs it.
#[derive(Debug)]
pub(super) struct FetchedRange {
    stored: StoredRange,
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

impl FetchedRange {
    /// The range that `task` fetches; `room` is released with it.
    pub(super) fn new(
        stored: StoredRange,
        task: Task<Result<Bytes, repo::Error>>,
        room: Arc<OwnedSemaphorePermit>,
    ) -> Self {
        Self { stored, fetch: Mutex::new(Fetch::OnTheWay(task)), _room: room }
    }

    /// Whether a frame lies in the range.
    pub(super) fn holds(&self, frame: &FrameRef) -> bool {
        self.stored.holds(frame)
    }

    /// The stored bytes of a frame that lies in the range. `None` where the read failed and another worker was told.
    pub(super) async fn frame(&self, frame: &FrameRef) -> Result<Option<Bytes>, repo::Error> {
        let mut fetch = self.fetch.lock().await;
        if let Fetch::OnTheWay(task) = &mut *fetch {
            let fetched = task.await;
            *fetch = Fetch::Failed;
            *fetch = Fetch::There(fetched??);
        }
        let Fetch::There(bytes) = &*fetch else { return Ok(None) };
        let from = (frame.offset - self.stored.range.start) as usize;
        Ok(Some(bytes.slice(from..from + frame.stored_len as usize)))
    }
}

pub(super) fn position(frame: &FrameRef) -> (u32, u32, u64) {
    (frame.reference, frame.bundle, frame.offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(bundle: u32, offset: u64, stored_len: u32) -> FrameRef {
        FrameRef { reference: 0, bundle, offset, stored_len, raw_len: 1 << 20 }
    }

    #[test]
    fn neighbours_are_one_read_and_the_header_comes_with_the_first() {
        let mut stored = StoredRange::of(&frame(1, 16, 1000));
        assert_eq!(stored.range, 0..1016);
        assert!(stored.grows_by(&frame(1, 1016 + GAP_MAX, 10)));
        assert_eq!(stored.range, 0..1026 + GAP_MAX);
        assert!(stored.holds(&frame(1, 500, 20)));
        for other in [frame(2, 1100, 10), frame(1, 9 << 20, 10)] {
            assert!(!stored.holds(&other) && !stored.grows_by(&other), "{other:?}");
        }
        let end = READ_MAX - stored.range.end;
        assert!(!stored.grows_by(&frame(1, stored.range.end, end as u32 + 1)));
        assert!(stored.grows_by(&frame(1, stored.range.end, end as u32)));
        assert_eq!(stored.len(), READ_MAX);
    }
}
