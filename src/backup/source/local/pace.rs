//! Keeps a source to a rate.

use std::time::Duration;

use tokio::time::Instant;

/// The limit of `max-rate`.
#[derive(Debug)]
pub(super) struct Pace {
    rate_kb: u32,
    since: Instant,
    taken_bytes: u64,
}

impl Pace {
    /// A pace of `rate_kb` kB (1024 bytes) a second from now on.
    pub(super) fn new(rate_kb: u32) -> Self {
        Self { rate_kb, since: Instant::now(), taken_bytes: 0 }
    }

    /// Waits until `bytes` may be read.
    pub(super) async fn take(&mut self, bytes: u64) {
        let due = self.since + self.time_of(self.taken_bytes);
        self.taken_bytes += bytes;
        tokio::time::sleep_until(due).await;
    }

    fn time_of(&self, bytes: u64) -> Duration {
        Duration::from_secs_f64(bytes as f64 / (f64::from(self.rate_kb.max(1)) * 1024.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_wait_for_those_before_them() {
        let begin = Instant::now();
        let mut pace = Pace::new(1024);
        pace.take(1 << 20).await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
        pace.take(1 << 19).await;
        assert_eq!(begin.elapsed().as_secs(), 1);
        pace.take(1).await;
        assert_eq!(begin.elapsed().as_millis() / 100, 15);
    }
}
