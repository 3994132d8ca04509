//! When a failed request is tried again.

use std::time::Duration;

use tokio::time::Instant;

/// Exponential backoff with jitter, until a deadline.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// The wait before the second attempt, doubled for each later one.
    pub wait_min: Duration,
    /// The longest wait between two attempts that the store did not ask for.
    pub wait_max: Duration,
    /// The time from the first attempt after which no other is begun.
    pub deadline: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            wait_min: Duration::from_millis(100),
            wait_max: Duration::from_secs(15),
            deadline: Duration::from_secs(120),
        }
    }
}

impl RetryPolicy {
    /// Begins to count.
    pub fn begin(&self) -> Attempts {
        Attempts { policy: self.clone(), began: Instant::now(), failed: 0 }
    }
}

/// The attempts of one request.
#[derive(Debug)]
pub struct Attempts {
    policy: RetryPolicy,
    began: Instant,
    failed: u32,
}

impl Attempts {
    /// How long to wait before the next attempt after one that failed; `None`: give up. What the store asked for
    /// (`Retry-After`) is honoured as a whole or not at all: if it ends after the deadline there is no point in
    /// coming early.
    pub fn next_wait(&mut self, asked: Option<Duration>) -> Option<Duration> {
        let doubled = self.policy.wait_min.saturating_mul(2_u32.saturating_pow(self.failed));
        self.failed += 1;
        let jitter = rand::random_range(0.5..1.0);
        let own = doubled.min(self.policy.wait_max).mul_f64(jitter);
        let wait = asked.map_or(own, |asked| asked.max(own));
        // What a store asks for may be any number.
        (self.began.elapsed().saturating_add(wait) < self.policy.deadline).then_some(wait)
    }

    /// Leaves time out of account in which nothing was tried: the wait for a turn among other requests, or for a rate.
    pub fn leave_out(&mut self, idle: Duration) {
        self.began += idle;
    }

    /// Forgets the failures, after progress.
    pub fn reset(&mut self) {
        (self.began, self.failed) = (Instant::now(), 0);
    }
}
