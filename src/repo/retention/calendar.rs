//! The last full backup of each day, week, month and year, in the local time zone.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::{BackupSummary, Calendar, KeepReason};
use crate::types::BackupLabel;

/// Numbers the day, week, month or year of a date, so that periods can be counted.
type Period = fn(Date) -> i64;

/// The backups of `fulls` (oldest first) that a calendar rule keeps, each with the rule.
pub(super) fn kept(
    fulls: &[&BackupSummary],
    calendar: Calendar,
    now: i64,
    zone: &TimeZone,
) -> Vec<(BackupLabel, KeepReason)> {
    let rules = [
        (calendar.daily, day as Period, KeepReason::Daily),
        (calendar.weekly, week, KeepReason::Weekly),
        (calendar.monthly, month, KeepReason::Monthly),
        (calendar.yearly, year, KeepReason::Yearly),
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

/// The last full of each period from number `first` on; within a period one without errors is preferred.
fn last_of_each<'a>(
    fulls: &[&'a BackupSummary],
    period: impl Fn(&BackupSummary) -> i64,
    first: i64,
) -> Vec<&'a BackupSummary> {
    let mut last: BTreeMap<i64, &BackupSummary> = BTreeMap::new();
    for full in fulls.iter().copied() {
        let number = period(full);
        let is_better = |other: &&BackupSummary| other.has_errors || !full.has_errors;
        if number >= first && last.get(&number).is_none_or(is_better) {
            last.insert(number, full);
        }
    }
    last.into_values().collect()
}

/// The local date. A time outside the calendar's range counts as the nearest one in it.
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
