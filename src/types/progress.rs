//! Progress of an operation, independent of its display.

/// Receives the progress of one operation. Called often and from any thread, so it must be cheap.
pub trait ProgressSink: Send + Sync {
    /// The operation begins; `total` is the expected number of bytes, if known.
    fn start(&self, total: Option<u64>);

    /// `bytes` more were processed.
    fn advance(&self, bytes: u64);

    /// The operation ended, successfully or not.
    fn finish(&self);
}

/// Ignores progress.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl ProgressSink for NoProgress {
    fn start(&self, _total: Option<u64>) {}

    fn advance(&self, _bytes: u64) {}

    fn finish(&self) {}
}
