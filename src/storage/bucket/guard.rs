//! Whether the server of a bucket keeps what is there when it is told to create only.
//!
//! Some servers of the S3 protocol ignore the condition and overwrite. They are found out by a small object that was
//! just made: it is put once more, and a server that takes the same bytes a second time without a word is one of them.
//! The first object is not used for that, because most commands make only one. Until it is known, and for good where the
//! condition is not kept, a look at the key comes before every attempt. What then remains is the moment between look and
//! put, in which only a second writer of the same name could be overwritten.

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
