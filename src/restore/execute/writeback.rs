//! Has the kernel write large files to disk while the work continues, and takes their pages from its
//! cache again. So little is left for the sync at the end, a restore of any size does not push
//! everything else out of the cache, and, what counts most where memory is new to a virtual machine,
//! the same pages are used again and again.

use std::{collections::VecDeque, fs::File, num::NonZeroU64, ops::Range, sync::Arc};

use rustix::fs::{Advice, fadvise};

/// How many stretches may be on their way to disk; each is about as large as a unit.
const UNDER_WAY_MAX: usize = 4;

/// The stretches of a worker that are on their way to disk.
#[derive(Debug, Default)]
pub(super) struct Writeback(VecDeque<(Arc<File>, Range<u64>)>);

impl Writeback {
    /// Has what was written begin its way, and lets go of what was given earlier.
    pub(super) fn begin(&mut self, file: Arc<File>, range: Range<u64>) {
        advise(&file, &range);
        self.0.push_back((file, range));
        if self.0.len() > UNDER_WAY_MAX
            && let Some((file, range)) = self.0.pop_front()
        {
            advise(&file, &range);
        }
    }
}

/// Pages that are not written yet begin their way to disk, those that are written are let go.
fn advise(file: &File, range: &Range<u64>) {
    let len = NonZeroU64::new(range.end.saturating_sub(range.start));
    // Advice only: where it is not taken, the sync at the end does all the work.
    let _ = fadvise(file, range.start, len, Advice::DontNeed);
}
