//! Progress as a bar on a terminal, or as log lines.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing::info;

use super::{format, terminal::Terminal};
use crate::types::ProgressSink;

const REDRAW_HZ: u8 = 8;
/// Bytes between two log lines if the total is unknown.
const UNKNOWN_TOTAL_EVERY: Duration = Duration::from_secs(60);

/// A bar with rate and remaining time.
pub(super) struct Bar {
    bar: ProgressBar,
    terminal: Arc<Terminal>,
}

impl Bar {
    pub(super) fn new(what: &'static str, terminal: Arc<Terminal>) -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(REDRAW_HZ);
        let bar = ProgressBar::with_draw_target(None, target).with_message(what);
        Self { bar, terminal }
    }
}

impl ProgressSink for Bar {
    fn start(&self, total: Option<u64>) {
        let template = match total {
            Some(_) => {
                "{msg} [{bar:30}] {percent:>3}% {binary_bytes}/{binary_total_bytes} \
                 {binary_bytes_per_sec} {eta} left"
            }
            None => "{msg} {spinner} {binary_bytes} {binary_bytes_per_sec}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style.progress_chars("=> "));
        }
        if let Some(total) = total {
            self.bar.set_length(total);
        }
        self.bar.reset();
        self.terminal.set_bar(Some(self.bar.clone()));
    }

    fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
        // The total is an estimate, so the bar is extended when it is exceeded.
        if self.bar.length().is_some_and(|length| self.bar.position() > length) {
            self.bar.set_length(self.bar.position());
        }
    }

    fn finish(&self) {
        self.terminal.set_bar(None);
        self.bar.finish_and_clear();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.finish();
    }
}

/// A log line for every tenth of the work.
pub(super) struct Lines {
    what: &'static str,
    done: AtomicU64,
    /// 0 if unknown.
    total: AtomicU64,
    /// Number of bytes at which the next line is written.
    next: AtomicU64,
    clock: Mutex<Clock>,
}

struct Clock {
    started: Instant,
    last_line: Instant,
}

impl Lines {
    pub(super) fn new(what: &'static str) -> Self {
        let now = Instant::now();
        Self {
            what,
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            next: AtomicU64::new(u64::MAX),
            clock: Mutex::new(Clock { started: now, last_line: now }),
        }
    }

    fn tell(&self, done: u64) {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let total = self.total.load(Relaxed);
        // Another thread may have written the line since the load.
        if done < self.next.load(Relaxed) {
            return;
        }
        self.next.store(next_step(done, total), Relaxed);
        let elapsed = clock.started.elapsed();
        if total > 0 {
            info!("{}", known(self.what, done, total, elapsed));
        } else if clock.last_line.elapsed() >= UNKNOWN_TOTAL_EVERY {
            clock.last_line = Instant::now();
            info!("{} progress: {} ({})", self.what, format::size(done), rate(done, elapsed));
        }
    }
}

/// The next tenth of the total after `done`; if the total is unknown, 16 MiB later.
fn next_step(done: u64, total: u64) -> u64 {
    if total == 0 {
        return done.saturating_add(16 << 20);
    }
    let tenth = |n: u128| (u128::from(total) * n).div_ceil(10);
    (1..10).map(tenth).find(|step| *step > u128::from(done)).map_or(u64::MAX, |step| step as u64)
}

fn known(what: &str, done: u64, total: u64, elapsed: Duration) -> String {
    let percent = u128::from(done) * 100 / u128::from(total);
    let left = elapsed.as_secs_f64() * total.saturating_sub(done) as f64 / done.max(1) as f64;
    let left = Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX);
    format!(
        "{what} progress {percent}% ({} of {}, {}, {} left)",
        format::size(done),
        format::size(total),
        rate(done, elapsed),
        format::duration(left)
    )
}

fn rate(done: u64, elapsed: Duration) -> String {
    format!("{}/s", format::size((done as f64 / elapsed.as_secs_f64().max(0.001)) as u64))
}

impl ProgressSink for Lines {
    fn start(&self, total: Option<u64>) {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let total = total.unwrap_or(0);
        *clock = Clock { started: Instant::now(), last_line: Instant::now() };
        self.done.store(0, Relaxed);
        self.total.store(total, Relaxed);
        self.next.store(next_step(0, total), Relaxed);
    }

    fn advance(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Relaxed).saturating_add(bytes);
        if done >= self.next.load(Relaxed) {
            self.tell(done);
        }
    }

    fn finish(&self) {
        self.next.store(u64::MAX, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_tenths() {
        let mut steps = Vec::new();
        let mut done = 0;
        while next_step(done, 1005) != u64::MAX {
            done = next_step(done, 1005);
            steps.push(done);
        }
        assert_eq!(steps, [101, 201, 302, 402, 503, 603, 704, 804, 905]);
        assert_eq!(next_step(u64::MAX - 1, u64::MAX), u64::MAX);
        assert_eq!(next_step(0, 1), 1);
        assert_eq!(next_step(1, 1), u64::MAX);
    }

    #[test]
    fn a_line_says_rate_and_time_left() {
        let line = known("backup", 1 << 30, 4 << 30, Duration::from_secs(10));
        assert_eq!(line, "backup progress 25% (1GB of 4GB, 102.4MB/s, 30s left)");
        let _ = known("backup", 0, u64::MAX, Duration::MAX);
    }

    #[test]
    fn a_line_comes_once_a_tenth_whatever_the_threads() {
        let count = Arc::new(AtomicU64::new(0));
        let lines = Arc::new(Lines::new("backup"));
        lines.start(Some(1000));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let (lines, count) = (lines.clone(), count.clone());
                scope.spawn(move || {
                    let layer = Counter(count);
                    tracing::subscriber::with_default(layer, || {
                        (0..250).for_each(|_| lines.advance(1));
                    });
                });
            }
        });
        assert_eq!(count.load(Relaxed), 9);
    }

    struct Counter(Arc<AtomicU64>);

    impl tracing::Subscriber for Counter {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }

        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

        fn event(&self, _: &tracing::Event<'_>) {
            self.0.fetch_add(1, Relaxed);
        }

        fn enter(&self, _: &tracing::span::Id) {}

        fn exit(&self, _: &tracing::span::Id) {}
    }
}
