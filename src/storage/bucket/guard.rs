//! Whether the server of a bucket honors a create-only put.
//!
//! Some S3-compatible servers ignore the condition and overwrite. A small object that was just created detects them: it
//! is put again, and a server that accepts the same bytes a second time ignores the condition. The first object is not
//! used for this, because most commands create only one. Until the result is known, and always on servers that ignore the
//! condition, the key is checked before every put. A race remains between check and put, in which only a second writer of
//! the same name could be overwritten.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use super::CreateOnly;

/// An object up to this size is put twice to find out.
const PROBE_MAX: usize = 64 * 1024;

/// What is known so far.
#[derive(Debug)]
pub(super) struct Guard {
    known: AtomicU8,
    /// An object that could have been put twice was made.
    one_made: AtomicBool,
}

impl Guard {
    pub(super) fn new(known: CreateOnly) -> Self {
        Self { known: AtomicU8::new(known as u8), one_made: AtomicBool::new(false) }
    }

    pub(super) fn known(&self) -> CreateOnly {
        let is = |state: CreateOnly| self.known.load(Ordering::Acquire) == state as u8;
        [CreateOnly::Kept, CreateOnly::NotKept]
            .into_iter()
            .find(|state| is(*state))
            .unwrap_or(CreateOnly::Unknown)
    }

    pub(super) fn learn(&self, known: CreateOnly) {
        self.known.store(known as u8, Ordering::Release);
    }

    /// Whether an object of `size` bytes that was just made is to be put once more.
    pub(super) fn asks_for_proof(&self, size: usize) -> bool {
        let open = self.known() == CreateOnly::Unknown && size <= PROBE_MAX;
        open && self.one_made.swap(true, Ordering::AcqRel)
    }
}
