//! Sizes (`16MiB`) and times (`31m`) as options write them.

use std::time::Duration;

/// Reads a size in bytes. The units are powers of 1024 whether the `i` is there or not, upper or
/// lower case: `1GB`, `1GiB`, `1g` and `1073741824` are the same.
pub(super) fn size(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let power = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1024_u64.pow(power))
}

/// Reads a time: a number with `ms`, `s`, `m`, `h`, `d` or `w`, or plain seconds. A fraction is
/// taken down to the millisecond.
pub(super) fn time(text: &str) -> Option<Duration> {
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let (number, unit) = text.split_at(text.len() - text.trim_start_matches(is_number).len());
    let unit_ms: u64 = match unit.to_ascii_lowercase().as_str() {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let scale = 10_u64.pow(fraction.len() as u32);
    let part_ms = fraction.parse::<u64>().ok()?.checked_mul(unit_ms)? / scale;
    let whole_ms = whole.parse::<u64>().ok()?.checked_mul(unit_ms)?;
    Some(Duration::from_millis(whole_ms.checked_add(part_ms)?))
}

/// Writes a size in the largest unit that holds it exactly.
pub(super) fn shown_size(bytes: u64) -> String {
    let units = ["PiB", "TiB", "GiB", "MiB", "KiB"];
    let scale = |power: usize| 1024_u64.pow((units.len() - power) as u32);
    let exact = |power: &usize| bytes > 0 && bytes.is_multiple_of(scale(*power));
    match (0..units.len()).find(exact) {
        Some(power) => format!("{}{}", bytes / scale(power), units[power]),
        None => format!("{bytes}B"),
    }
}

/// Writes a time, in milliseconds, in the largest unit that holds it exactly.
pub(super) fn shown_time(ms: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    match units.into_iter().find(|(unit_ms, _)| ms > 0 && ms.is_multiple_of(*unit_ms)) {
        Some((unit_ms, unit)) => format!("{}{unit}", ms / unit_ms),
        None => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("0"), Some(0));
        assert_eq!(size("16MiB"), Some(16 << 20));
        assert_eq!(size("1GB"), Some(1 << 30));
        assert_eq!(size("2k"), Some(2048));
        assert_eq!(size("4PiB"), Some(4 << 50));
        for bad in ["", "MiB", "1.5MiB", "-1", "1 MiB", "16384PiB", "1xb", "１"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(time("31m"), Some(Duration::from_secs(31 * 60)));
        assert_eq!(time("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(time("1800"), Some(Duration::from_secs(1800)));
        assert_eq!(time("0.5"), Some(Duration::from_millis(500)));
        assert_eq!(time("1.5h"), Some(Duration::from_secs(5400)));
        assert_eq!(time("7d"), Some(Duration::from_secs(7 * 86_400)));
        for bad in ["", "m", "1y", "-1", "1..5", ".5", "1.", "99999999999999999999", "1m30s"] {
            assert_eq!(time(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for (bytes, text) in [(0, "0B"), (1500, "1500B"), (16 << 10, "16KiB"), (1 << 50, "1PiB")] {
            assert_eq!((shown_size(bytes).as_str(), size(text)), (text, Some(bytes)));
        }
        for (ms, text) in [(0, "0ms"), (100, "100ms"), (90_000, "90s"), (604_800_000, "7d")] {
            assert_eq!(
                (shown_time(ms).as_str(), time(text)),
                (text, Some(Duration::from_millis(ms)))
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in ".{0,40}") {
            let _ = (size(&text), time(&text));
        }

        #[test]
        fn any_number_is_read_without_panic(text in "[0-9.]{0,30}(ms|s|m|h|d|w|KiB|PiB)?") {
            let _ = (size(&text), time(&text));
        }
    }
}
