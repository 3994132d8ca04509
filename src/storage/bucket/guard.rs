//! Whether the server of a bucket keeps what is there when it is told to create only.
//!
//! Some servers of the S3 protocol ignore the condition and overwrite. They are found out by the first small object
//! that is put: it is put once more, and a server that takes the same bytes a second time without a word is one of
//! them. Until it is known, and for good where the condition is not kept, a look at the key comes first. What then
//! remains is the moment between look and put, in which only a second writer of the same name could be overwritten.

use std::sync::atomic::{AtomicU8, Ordering};

use super::CreateOnly;

/// An object up to this size is put twice to find out.
pub(super) const PROBE_MAX: usize = 64 * 1024;

/// What is known so far.
#[derive(Debug)]
pub(super) struct Guard(AtomicU8);

impl Guard {
    pub(super) fn new(known: CreateOnly) -> Self {
        Self(AtomicU8::new(known as u8))
    }

    pub(super) fn known(&self) -> CreateOnly {
        let is = |state: CreateOnly| self.0.load(Ordering::Acquire) == state as u8;
        [CreateOnly::Kept, CreateOnly::NotKept]
            .into_iter()
            .find(|state| is(*state))
            .unwrap_or(CreateOnly::Unknown)
    }

    pub(super) fn learn(&self, known: CreateOnly) {
        self.0.store(known as u8, Ordering::Release);
    }
}
