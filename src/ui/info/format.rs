//! Numbers as people read them.

use jiff::{Timestamp, tz::TimeZone};

const UNITS: [(u64, &str); 3] = [(1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")];

/// A size in bytes with at most one decimal, such as `40.2MB`, `9MB` or `679B`.
pub fn human_size(bytes: u64) -> String {
    let Some((unit, name)) = UNITS.into_iter().find(|(unit, _)| bytes >= *unit) else {
        return format!("{bytes}B");
    };
    let tenths = (u128::from(bytes) * 10 + u128::from(unit) / 2) / u128::from(unit);
    match tenths % 10 {
        0 => format!("{}{name}", tenths / 10),
        decimal => format!("{}.{decimal}{name}", tenths / 10),
    }
}

/// A time in seconds since 1970, such as `2026-11-21 09:24:52+00`; minutes of the offset only where
/// there are some.
pub fn human_time(seconds: i64, zone: &TimeZone) -> String {
    let Ok(timestamp) = Timestamp::from_second(seconds) else { return seconds.to_string() };
    let zoned = timestamp.to_zoned(zone.clone());
    let offset = zoned.offset().seconds();
    let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.unsigned_abs() / 60);
    let mut text = format!("{}{sign}{:02}", zoned.strftime("%Y-%m-%d %H:%M:%S"), minutes / 60);
    if minutes % 60 != 0 {
        text.push_str(&format!(":{:02}", minutes % 60));
    }
    text
}

/// How much of `size` is done, such as `65.28%`. Rounded down, so that 100 % means all.
pub(super) fn percent(done: u64, size: u64) -> String {
    let hundredths = (u128::from(done.min(size)) * 10_000).checked_div(size.into()).unwrap_or(0);
    format!("{}.{:02}%", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_at_most_one_decimal() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1KB"),
            (309_327, "302.1KB"),
            (9_467_597, "9MB"),
            (42_137_438, "40.2MB"),
            (3 << 30, "3GB"),
            (u64::MAX, "17179869184GB"),
        ] {
            assert_eq!(human_size(bytes), text);
        }
    }

    #[test]
    fn times_carry_their_offset() {
        let india = TimeZone::fixed(jiff::tz::Offset::from_seconds(19_800).unwrap());
        let west = TimeZone::fixed(jiff::tz::Offset::from_seconds(-3 * 3600).unwrap());
        assert_eq!(human_time(1_795_253_092, &TimeZone::UTC), "2026-11-21 09:24:52+00");
        assert_eq!(human_time(1_795_253_092, &india), "2026-11-21 14:54:52+05:30");
        assert_eq!(human_time(1_795_253_092, &west), "2026-11-21 06:24:52-03");
    }

    #[test]
    fn percentages_are_rounded_down_and_survive_any_count() {
        assert_eq!(percent(9_999_999, 10_000_000), "99.99%");
        assert_eq!(percent(7, 7), "100.00%");
        assert_eq!(percent(8, 7), "100.00%");
        assert_eq!(percent(1, 0), "0.00%");
        assert_eq!(percent(u64::MAX, u64::MAX), "100.00%");
    }
}
