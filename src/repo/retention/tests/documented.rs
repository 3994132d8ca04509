//! The table of examples in the documentation, line by line.

use jiff::{civil, tz::TimeZone};

use super::support::*;
use crate::{
    repo::{
        keep::KeepMark,
        retention::{wal::ArchiveRule, *},
    },
    types::BackupType,
};

const DOC: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/retention.md"));
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn at(date: civil::Date, hour: i8) -> i64 {
    date.at(hour, 0, 0, 0).to_zoned(TimeZone::UTC).unwrap().timestamp().as_second()
}

/// `Nov 9 I`, `Dec 28 2025 F`, with `*` for a mark and `!` for page errors.
fn series(text: &str) -> Series {
    let mut series = Series::new();
    for item in text.split(", ") {
        let words: Vec<&str> = item.split(' ').collect();
        let (kind, year) = (words[words.len() - 1], words.get(2).filter(|_| words.len() == 4));
        let month = MONTHS.iter().position(|name| *name == words[0]).unwrap() as i8 + 1;
        let year = year.map_or(2026, |year| year.parse().unwrap());
        let kind_of = match &kind[..1] {
            "F" => BackupType::Full,
            "D" => BackupType::Diff,
            "I" => BackupType::Incr,
            other => panic!("{other}"),
        };
        let place = series.add(kind_of, at(civil::date(year, month, words[1].parse().unwrap()), 1));
        series.backups[place].has_errors = kind.contains('!');
        series.backups[place].mark = kind.contains('*').then_some(KeepMark { until: None });
    }
    series
}

fn settings(text: &str) -> Settings {
    let mut settings = Settings::default();
    for (name, value) in text.split(", ").filter_map(|option| option.split_once('=')) {
        let number = value.parse().ok();
        match (name, value) {
            ("full", _) => settings.full = number,
            ("full-type", "time") => settings.full_type = FullType::Time,
            ("diff", _) => settings.diff = number,
            ("archive", _) => settings.archive = number,
            ("archive-type", "diff") => settings.archive_type = BackupType::Diff,
            ("archive-type", "incr") => settings.archive_type = BackupType::Incr,
            ("daily", _) => settings.calendar.daily = number,
            ("weekly", _) => settings.calendar.weekly = number,
            ("monthly", _) => settings.calendar.monthly = number,
            ("yearly", _) => settings.calendar.yearly = number,
            other => panic!("{other:?}"),
        }
    }
    settings
}

/// The WAL that stays is all from the named backup on, and before it that of the backups that stay.
fn check_wal(line: &str, series: &Series, plan: &ExpirePlan, from: Option<usize>) {
    let Some(from) = from else {
        assert_eq!(*rule(plan, 1), ArchiveRule::KeepAll, "{line}");
        return;
    };
    let stays = series.days(plan);
    let number = |segment: crate::types::WalSegment| segment.number(series.backups[0].segment_size);
    for candidate in 0..1000 {
        let own = |day: &usize| {
            let backup = &series.backups[day - 1];
            (number(backup.wal_start)..=number(backup.wal_stop)).contains(&candidate)
        };
        let expected = candidate >= number(series.backups[from].wal_start) || stays.iter().any(own);
        assert_eq!(keeps(plan, 1, segment(1, candidate)), expected, "{line}: {candidate}");
    }
}

#[test]
fn every_example_is_what_the_planner_says() {
    let begin = "<!-- begin examples -->\n";
    let start = DOC.find(begin).unwrap() + begin.len();
    let stop = DOC.find("<!-- end examples -->").unwrap();
    let mut checked = 0;
    for line in DOC[start..stop].lines().skip(2) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [options, backups, stay, wal] = cells[..] else { panic!("{line}") };
        let (series, items) = (series(backups), backups.split(", ").collect::<Vec<_>>());
        let now = at(civil::date(2026, 11, 21), 12);
        let settings = settings(options);
        let inventory = series.inventory();
        let made = plan(&inventory, &settings, &Scope::Retention, now, &TimeZone::UTC).unwrap();
        let kept: Vec<&str> = series.days(&made).iter().map(|day| items[day - 1]).collect();
        assert_eq!(kept.join(", "), stay, "{line}");
        let from = (wal != "all").then(|| items.iter().position(|item| *item == wal).unwrap());
        check_wal(line, &series, &made, from);
        checked += 1;
    }
    assert!(checked >= 15, "{checked}");
}
