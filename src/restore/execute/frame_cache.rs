//! Frames that will be asked for again. A diff gathers blocks from all over a file in one frame, so the
//! units of that file need a little of it each; it is fetched and decompressed once for many of them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::repo::block_map::FrameRef;

/// The raw bytes that are kept, of all workers together.
const BYTES_MAX: usize = 96 << 20;

/// Frames in the order in which they were last asked for.
#[derive(Debug, Default)]
pub(super) struct FrameCache(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    frames: HashMap<FrameRef, Kept>,
    bytes: usize,
    clock: u64,
}

#[derive(Debug)]
struct Kept {
    raw: Arc<[u8]>,
    used: u64,
}

impl FrameCache {
    /// The raw bytes of a frame, if they are kept.
    pub(super) fn get(&self, frame: &FrameRef) -> Option<Arc<[u8]>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.clock += 1;
        let now = state.clock;
        let kept = state.frames.get_mut(frame)?;
        kept.used = now;
        Some(Arc::clone(&kept.raw))
    }

    /// Keeps a frame of which a unit needed `used` bytes, where others will probably need the rest.
    pub(super) fn keep(&self, frame: &FrameRef, raw: &[u8], used: usize) {
        if 2 * used > raw.len() {
            return;
        }
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.clock += 1;
        let kept = Kept { raw: raw.into(), used: state.clock };
        if let Some(before) = state.frames.insert(*frame, kept) {
            state.bytes -= before.raw.len();
        }
        state.bytes += raw.len();
        while state.bytes > BYTES_MAX {
            state.drop_oldest();
        }
    }
}

impl State {
    fn drop_oldest(&mut self) {
        let oldest = self.frames.iter().min_by_key(|(_, kept)| kept.used).map(|(frame, _)| *frame);
        if let Some(kept) = oldest.and_then(|frame| self.frames.remove(&frame)) {
            self.bytes -= kept.raw.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(number: u64) -> FrameRef {
        FrameRef { reference: 1, bundle: 1, offset: number, stored_len: 1, raw_len: 1 << 20 }
    }

    #[test]
    fn what_was_asked_for_lately_stays_within_the_bound() {
        let cache = FrameCache::default();
        let raw = vec![0; 1 << 20];
        cache.keep(&frame(0), &raw, raw.len());
        assert!(cache.get(&frame(0)).is_none(), "nobody needs the rest of it");
        for number in 1..=200 {
            cache.keep(&frame(number), &raw, 8192);
            assert!(cache.get(&frame(1)).is_some());
        }
        assert!(cache.get(&frame(2)).is_none());
        assert!(cache.get(&frame(200)).is_some());
        assert!(cache.0.lock().unwrap().bytes <= BYTES_MAX);
    }
}
