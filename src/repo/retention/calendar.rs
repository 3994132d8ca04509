//! The last full backup of each day, week, month and year, in the local time zone.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::{BackupFacts, Calendar, Why};
use crate::types::BackupLabel;

/// The number of the day, week, month or year that a date is in.
type Period = fn(Date) -> i64;

/// Which of `fulls`, oldest first, a calendar rule keeps, and the rule.
pub(super) fn kept(
    fulls: &[&BackupFacts],
    calendar: Calendar,
    now: i64,
    zone: &TimeZone,
) -> Vec<(BackupLabel, Why)> {
    let rules = [
        (calendar.daily, day as Period, Why::Daily),
        (calendar.weekly, week, Why::Weekly),
        (calendar.monthly, month, Why::Monthly),
        (calendar.yearly, year, Why::Yearly),
    ];
    let mut kept = Vec::new();
    for (count, period, why) in rules {
        let Some(count) = count else { continue };
        let first = period(date(now, zone)) - i64::from(count) + 1;
        for full in last_of_each(fulls, |full| period(date(full.stopped, zone)), first) {
            kept.push((full.label.clone(), why.clone()));
        }
    }
    kept
}

/// The last of each period from `first` on; one without page errors where there is one.
fn last_of_each<'a>(
    fulls: &[&'a BackupFacts],
    period: impl Fn(&BackupFacts) -> i64,
    first: i64,
) -> Vec<&'a BackupFacts> {
    let mut last: BTreeMap<i64, &BackupFacts> = BTreeMap::new();
    for full in fulls.iter().copied() {
        let number = period(full);
        let is_better = |other: &&BackupFacts| other.has_errors || !full.has_errors;
        if number >= first && last.get(&number).is_none_or(is_better) {
            last.insert(number, full);
        }
    }
    last.into_values().collect()
}

/// The local date. A time out of all bounds is taken as the nearest there is.
fn date(seconds: i64, zone: &TimeZone) -> Date {
    let nearest = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(seconds).unwrap_or(nearest).to_zoned(zone.clone()).date()
}

fn day(date: Date) -> i64 {
    let epoch = jiff::civil::date(1970, 1, 1);
    date.duration_since(epoch).as_hours().div_euclid(24)
}

/// Weeks begin on Monday; the first of January 1970 was a Thursday.
fn week(date: Date) -> i64 {
    (day(date) + 3).div_euclid(7)
}

fn month(date: Date) -> i64 {
    i64::from(date.year()) * 12 + i64::from(date.month())
}

fn year(date: Date) -> i64 {
    i64::from(date.year())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_change_at_local_midnight_monday_the_first_and_new_year() {
        let date = |y, m, d| jiff::civil::date(y, m, d);
        assert_eq!(day(date(1970, 1, 1)), 0);
        assert_eq!(day(date(1969, 12, 31)), -1);
        // The 16th of November 2026 is a Monday.
        assert_eq!(week(date(2026, 11, 16)), week(date(2026, 11, 22)));
        assert_eq!(week(date(2026, 11, 16)), week(date(2026, 11, 15)) + 1);
        assert_eq!(month(date(2027, 1, 1)), month(date(2026, 12, 31)) + 1);
        assert_eq!(year(date(2027, 1, 1)), 2027);
    }

    #[test]
    fn the_zone_decides_which_day_it_is() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let before_midnight_utc: Timestamp = "2026-11-21T23:00:00Z".parse().unwrap();
        let seconds = before_midnight_utc.as_second();
        assert_eq!(date(seconds, &zone), jiff::civil::date(2026, 11, 22));
        assert_eq!(date(seconds, &TimeZone::UTC), jiff::civil::date(2026, 11, 21));
    }

    #[test]
    fn absurd_times_are_taken() {
        for seconds in [i64::MIN, i64::MAX, 0] {
            let _ = (date(seconds, &TimeZone::UTC), week(date(seconds, &TimeZone::UTC)));
        }
    }
}
