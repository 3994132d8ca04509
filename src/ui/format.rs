//! Human-readable sizes and times.

use std::time::Duration;

/// A size with at most one decimal, as in `info`: `9MB`, `302.1KB`, `40.2MB`. Units are powers of 1024.
pub fn size(bytes: u64) -> String {
    const KIB: u64 = 1024;
    let units = [("KB", KIB), ("MB", KIB.pow(2)), ("GB", KIB.pow(3)), ("TB", KIB.pow(4))];
    if bytes < KIB {
        return format!("{bytes}B");
    }
    match units.into_iter().find(|(_, unit)| bytes / unit < KIB) {
        Some((name, unit)) => {
            let text = format!("{:.1}", bytes as f64 / unit as f64);
            format!("{}{name}", text.strip_suffix(".0").unwrap_or(&text))
        }
        None => format!("{}PB", bytes / KIB.pow(5)),
    }
}

/// A duration in its two largest units: `45s`, `3m20s`, `2h05m`, `3d04h`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600, seconds / 60);
    match () {
        _ if days > 0 => format!("{days}d{:02}h", hours % 24),
        _ if hours > 0 => format!("{hours}h{:02}m", minutes % 60),
        _ if minutes > 0 => format!("{minutes}m{:02}s", seconds % 60),
        _ => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes of a recorded `info`, in bytes and as text.
    #[test]
    fn sizes_are_those_of_info() {
        for (bytes, text) in [
            (36_878_174, "35.2MB"),
            (8_018_885, "7.6MB"),
            (17_760_514, "16.9MB"),
            (6_519_701, "6.2MB"),
            (9_314_345, "8.9MB"),
            (40_318_814, "38.5MB"),
            (3_252_482, "3.1MB"),
            (309_327, "302.1KB"),
            (9_467_597, "9MB"),
            (42_137_438, "40.2MB"),
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1KB"),
            (2200, "2.1KB"),
            (1 << 30, "1GB"),
            (3 << 39, "1.5TB"),
            (u64::MAX, "16383PB"),
        ] {
            assert_eq!(size(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn durations() {
        let of = |seconds| duration(Duration::from_secs(seconds));
        assert_eq!(of(0), "0s");
        assert_eq!(of(200), "3m20s");
        assert_eq!(of(7500), "2h05m");
        assert_eq!(of(273_600), "3d04h");
    }
}
