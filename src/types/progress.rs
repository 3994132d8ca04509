//! How engines tell how far they are, without knowing who listens.

/// Takes the progress of one piece of work. Called from any thread, often, so it must be cheap.
pub trait ProgressSink: Send + Sync {
    /// The work begins; `total` is the number of bytes expected, where it is known.
    fn start(&self, total: Option<u64>);

    /// That many bytes more are done.
    fn advance(&self, bytes: u64);

    /// The work has ended, well or not.
    fn finish(&self);
}

/// Without a listener.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl ProgressSink for NoProgress {
    fn start(&self, _total: Option<u64>) {}

    fn advance(&self, _bytes: u64) {}

    fn finish(&self) {}
}
