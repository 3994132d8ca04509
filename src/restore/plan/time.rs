//! The moment that a time target names. It is read here and once: PostgreSQL gets it in one form. Forms that
//! could mean something else to PostgreSQL (zone abbreviations, month names) are not guessed at.

use jiff::{
    Timestamp, Zoned,
    civil::DateTime,
    tz::{Offset, TimeZone},
};

use crate::{restore::Error, types::ErrorCode};

/// Parses a time target: `2026-11-21 14:03:00` with an optional fraction and an optional offset
/// (`+02`, `+0530`, `-03:30`, `Z`) or zone (`Europe/Berlin`). Without one it is in `local` time.
pub fn parse_target_time(text: &str, local: &TimeZone) -> Result<Timestamp, Error> {
    let moment = parse(text.trim(), local).filter(is_exact);
    moment.ok_or_else(|| {
        Error::refused(
            ErrorCode::Format,
            format!("target time '{text}' is not valid"),
            "time format must be YYYY-MM-DD HH:MM:SS with an optional fraction of up to six digits and \
             an optional time zone (+/- HH or HHMM or HH:MM, Z, or a name such as Europe/Berlin); \
             without one, local time is assumed (for UTC use +00)",
        )
    })
}

/// Whether a time target says which time zone it is in.
pub fn names_time_zone(text: &str) -> bool {
    let one_hour_east = TimeZone::fixed(Offset::constant(1));
    parse(text.trim(), &TimeZone::UTC) == parse(text.trim(), &one_hour_east)
}

/// PostgreSQL's clock counts microseconds, and no backup is older than 1970.
fn is_exact(moment: &Timestamp) -> bool {
    moment.subsec_nanosecond() % 1000 == 0 && *moment >= Timestamp::UNIX_EPOCH
}

fn parse(text: &str, local: &TimeZone) -> Option<Timestamp> {
    // An offset first: a civil time would drop it without a word.
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment);
    }
    // PostgreSQL takes a space before the zone, and names of zones.
    if let Some((civil, zone)) = text.rsplit_once(' ')
        && let Some(zone) = zone_of(zone)
    {
        return civil_in(civil, &zone);
    }
    civil_in(text, local)
}

fn zone_of(text: &str) -> Option<TimeZone> {
    if text.starts_with(['+', '-']) {
        let moment: Timestamp = format!("2000-01-01T00:00:00{text}").parse().ok()?;
        let utc: Timestamp = "2000-01-01T00:00:00Z".parse().ok()?;
        let seconds = utc.as_second() - moment.as_second();
        return jiff::tz::Offset::from_seconds(seconds.try_into().ok()?).ok().map(TimeZone::fixed);
    }
    match text.to_ascii_uppercase().as_str() {
        "Z" | "UTC" | "GMT" | "ZULU" => Some(TimeZone::UTC),
        // Abbreviations mean to PostgreSQL what its table of them says, which is not known here.
        _ if text.contains('/') => TimeZone::get(text).ok(),
        _ => None,
    }
}

fn civil_in(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let names_a_zone = text.bytes().any(|b| matches!(b, b'+' | b'[' | b'z' | b'Z'));
    let civil: DateTime = if names_a_zone { return None } else { text.parse().ok()? };
    // An ambiguous or skipped local time is taken as PostgreSQL takes it: standard time.
    let zoned: Zoned = zone.to_ambiguous_zoned(civil).later().ok()?;
    Some(zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<String> {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        parse_target_time(text, &berlin).ok().map(|moment| moment.to_string())
    }

    #[test]
    fn forms_that_are_understood() {
        for (text, expected) in [
            ("2026-11-21 14:03:00+00", "2026-11-21T14:03:00Z"),
            ("2026-11-21 14:03:00+02", "2026-11-21T12:03:00Z"),
            ("2026-11-21 14:03:00-0330", "2026-11-21T17:33:00Z"),
            ("2026-11-21 14:03:00-03:30", "2026-11-21T17:33:00Z"),
            ("2026-11-21 14:03:00 +02", "2026-11-21T12:03:00Z"),
            ("2026-11-21T14:03:00Z", "2026-11-21T14:03:00Z"),
            ("2026-11-21 14:03:00 UTC", "2026-11-21T14:03:00Z"),
            ("2026-11-21 14:03:00.123456+00", "2026-11-21T14:03:00.123456Z"),
            ("2026-11-21 14:03:00 America/New_York", "2026-11-21T19:03:00Z"),
            ("2026-07-21 14:03:00", "2026-07-21T12:03:00Z"),
            ("2026-11-21 14:03:00", "2026-11-21T13:03:00Z"),
            ("2026-11-21 14:03", "2026-11-21T13:03:00Z"),
            ("2026-11-21", "2026-11-20T23:00:00Z"),
            (" 2026-11-21 14:03:00 ", "2026-11-21T13:03:00Z"),
            ("2026-11-21T14:03:00z", "2026-11-21T14:03:00Z"),
            ("2026-11-21 14:03:00Z", "2026-11-21T14:03:00Z"),
            ("2026-11-21 14:03:00 z", "2026-11-21T14:03:00Z"),
            ("2026-11-21 14:03:00,123+00", "2026-11-21T14:03:00.123Z"),
            ("2026-11-21 14:03:00,123456", "2026-11-21T13:03:00.123456Z"),
        ] {
            assert_eq!(parsed(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn forms_that_could_mean_something_else_are_not_guessed_at() {
        for text in [
            "",
            "now",
            "yesterday",
            "Nov 21 2026 14:03",
            "2026-11-21 14:03:00 EST",
            "2026-11-21 14:03:00 CET",
            "2026-11-21 14:03:00 Nowhere/City",
            "2026-11-21 25:03:00",
            "2026-02-30 14:03:00",
            "21.11.2026 14:03",
            "2026-11-21 14:03:00.1234567+00",
            "0000-11-21 14:03:00+00",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_without_a_zone_is_known_as_such() {
        for text in ["2026-11-21 14:03:00", "2026-11-21", "2026-11-21 14:03:00,5"] {
            assert!(!names_time_zone(text), "{text}");
        }
        for text in
            ["2026-11-21 14:03:00+02", "2026-11-21T14:03:00Z", "2026-11-21 14:03 Europe/Berlin"]
        {
            assert!(names_time_zone(text), "{text}");
        }
    }

    #[test]
    fn postgresql_gets_one_form() {
        let shown = |text: &str| {
            let moment = parse_target_time(text, &TimeZone::UTC).unwrap();
            crate::types::TargetTime(moment).to_string()
        };
        assert_eq!(shown("2026-11-21T14:03:00Z"), "2026-11-21 14:03:00.000000+00");
        assert_eq!(shown("2026-11-21 14:03:00,123-03:30"), "2026-11-21 17:33:00.123000+00");
    }

    #[test]
    fn the_hour_that_is_there_twice_is_standard_time() {
        assert_eq!(parsed("2026-10-25 02:30:00").as_deref(), Some("2026-10-25T01:30:00Z"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_a_panic(text: String) {
            let _ = parsed(&text);
        }
    }
}
