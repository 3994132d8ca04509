//! How an engine reports how far it is, without knowing who looks.

/// Something that shows progress. Counts are bytes.
pub trait ProgressSink: Send + Sync {
    /// The work begins; `total` where it can be estimated.
    fn start(&self, total: Option<u64>);
    /// So many more bytes are done.
    fn advance(&self, bytes: u64);
    /// The work is complete.
    fn finish(&self);
}

/// Shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl ProgressSink for NoProgress {
    fn start(&self, _total: Option<u64>) {}
    fn advance(&self, _bytes: u64) {}
    fn finish(&self) {}
}
