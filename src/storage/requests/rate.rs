//! A limit of bytes a second, shared by all requests of a store.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Limits bytes per second. A caller reserves the time for its bytes and waits for its turn, so the
/// average holds over any time longer than one request.
#[derive(Debug)]
pub struct Rate {
    bytes_per_second: u64,
    free_at: Mutex<Option<Instant>>,
}

impl Rate {
    /// A limit of `bytes_per_second`.
    pub fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), free_at: Mutex::new(None) }
    }

    /// Waits until `bytes` may go.
    pub async fn spend(&self, bytes: u64) {
        let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let turn = {
            let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = free_at.unwrap_or_else(Instant::now).max(Instant::now());
            *free_at = Some(turn + takes);
            turn
        };
        tokio::time::sleep_until(turn).await;
    }
}
