//! Retention of WAL.

use jiff::tz::TimeZone;

use super::support::*;
use crate::{
    repo::retention::{wal::ArchiveRule, *},
    types::BackupType,
};

#[test]
fn wal_before_the_oldest_backup_to_roll_forward_goes() {
    let series = Series::daily("F F D F");
    let plan = series.plan(&count(2));
    // The backups that stay begin at segment 20.
    assert!(!keeps(&plan, 1, segment(1, 19)));
    assert!(keeps(&plan, 1, segment(1, 20)) && keeps(&plan, 1, segment(1, 1_000_000)));
}

#[test]
fn beyond_the_archive_retention_only_start_to_stop_stays() {
    let series = Series::daily("F F D F");
    let plan = series.plan(&Settings { archive: Some(1), ..count(3) });
    let kept: Vec<u64> = (0..50).filter(|n| keeps(&plan, 1, segment(1, *n))).collect();
    let expected = [10, 11, 20, 21, 30, 31].into_iter().chain(40..50);
    assert_eq!(kept, expected.collect::<Vec<_>>());
    let by_diff = Settings { archive: Some(2), archive_type: BackupType::Diff, ..count(3) };
    let plan = series.plan(&by_diff);
    assert!(!keeps(&plan, 1, segment(1, 29)) && keeps(&plan, 1, segment(1, 35)));
}

#[test]
fn with_fewer_backups_than_archive_retention_asks_for_no_wal_goes() {
    let series = Series::daily("F F");
    let plan = series.plan(&Settings { archive: Some(3), ..count(2) });
    assert_eq!(*rule(&plan, 1), ArchiveRule::KeepAll);
    let plan = series.plan(&Settings { archive: Some(2), ..count(2) });
    assert!(!keeps(&plan, 1, segment(1, 9)));
}

#[test]
fn a_type_without_a_number_keeps_all_wal() {
    let series = Series::daily("F D I F");
    let of = |kind, diff| Settings { archive_type: kind, diff, ..count(1) };
    for settings in [of(BackupType::Diff, None), of(BackupType::Incr, Some(1))] {
        assert_eq!(*rule(&series.plan(&settings), 1), ArchiveRule::KeepAll);
    }
    // For diff the number of differentials is the default.
    let plan = series.plan(&of(BackupType::Diff, Some(1)));
    assert!(!keeps(&plan, 1, segment(1, 39)));
}

#[test]
fn marked_backups_keep_their_own_wal_only() {
    let series = Series::daily("F* F F F");
    let plan = series.plan(&count(2));
    let kept: Vec<u64> = (0..35).filter(|n| keeps(&plan, 1, segment(1, *n))).collect();
    assert_eq!(kept, [10, 11, 30, 31, 32, 33, 34]);
}

#[test]
fn with_calendar_rules_alone_the_finest_is_rolled_forward() {
    let series = Series::daily("F F F F F F F F F F");
    let calendar = Calendar { daily: Some(2), weekly: Some(2), ..Calendar::default() };
    let plan = series.plan(&Settings { calendar, ..Settings::default() });
    assert_eq!(series.days(&plan), [3, 9, 10]);
    let kept: Vec<u64> = (0..95).filter(|n| keeps(&plan, 1, segment(1, *n))).collect();
    assert_eq!(kept, [30, 31, 90, 91, 92, 93, 94]);
}

#[test]
fn newer_timelines_stay_and_older_ones_go_with_their_backups() {
    let mut series = Series::new();
    series.add(BackupType::Full, DAY);
    series.add(BackupType::Full, 2 * DAY);
    series.timeline = 3;
    series.add(BackupType::Full, 3 * DAY);
    let plan = series.plan(&count(2));
    // Backups at 20 on timeline 1 and at 30 on timeline 3: both can still follow any later timeline.
    for (timeline, number, stays) in [
        (1, 19, false),
        (1, 20, true),
        (1, 500, true),
        (2, 19, false),
        (2, 25, true),
        (4, 20, true),
    ] {
        assert_eq!(keeps(&plan, 1, segment(timeline, number)), stays, "{timeline} {number}");
    }
    let plan = series.plan(&count(1));
    for (timeline, number, stays) in [
        (1, 500, false),
        (2, 500, false),
        (3, 29, false),
        (3, 30, true),
        (4, 29, false),
        (9, 30, true),
    ] {
        assert_eq!(keeps(&plan, 1, segment(timeline, number)), stays, "{timeline} {number}");
    }
}

#[test]
fn archives_of_older_clusters_go_with_their_last_backup() {
    let mut series = Series::new();
    series.add(BackupType::Full, DAY);
    series.archive = 2;
    series.add(BackupType::Full, 2 * DAY);
    series.add(BackupType::Full, 3 * DAY);
    assert_eq!(*rule(&series.plan(&count(2)), 1), ArchiveRule::RemoveAll);
    // While one is left, it keeps its WAL to the end of that cluster.
    let plan = series.plan(&count(3));
    assert!(keeps(&plan, 1, segment(1, 10)) && keeps(&plan, 1, segment(1, 5000)));
    assert!(!keeps(&plan, 1, segment(1, 9)));
    // One that only a mark keeps does not.
    series.backups[0].mark = Some(crate::repo::keep::KeepMark { until: None });
    let plan = series.plan(&count(2));
    assert!(keeps(&plan, 1, segment(1, 11)) && !keeps(&plan, 1, segment(1, 12)));
}

#[test]
fn the_current_archive_stays_also_without_backups() {
    let mut series = Series::daily("F F");
    series.archive = 2;
    let plan = series.plan(&count(1));
    assert_eq!(*rule(&plan, 2), ArchiveRule::KeepAll);
    assert!(matches!(rule(&plan, 1), ArchiveRule::Keep(_)));
    series.archive = 3;
    assert_eq!(*rule(&series.plan(&count(1)), 2), ArchiveRule::RemoveAll);
}

#[test]
fn a_changed_segment_size_keeps_all() {
    let mut series = Series::daily("F F F");
    series.backups[1].segment_size = crate::types::WalSegmentSize::new(1 << 20).unwrap();
    assert_eq!(*rule(&series.plan(&count(1)), 1), ArchiveRule::KeepAll);
}

#[test]
fn wal_before_a_segment_goes_only_where_no_backup_needs_it() {
    let series = Series::daily("F F");
    let scope = |number| Scope::WalBefore(segment(7, number));
    let plan_for = |settings: &Settings, number| series.plan_for(settings, &scope(number)).unwrap();
    let early = plan_for(&Settings::default(), 5);
    assert_eq!(series.days(&early), [1, 2]);
    assert!(!keeps(&early, 1, segment(1, 4)) && keeps(&early, 1, segment(1, 5)));
    let late = plan_for(&Settings::default(), 15);
    assert!(!keeps(&late, 1, segment(1, 9)) && keeps(&late, 1, segment(1, 12)));
    // An archive that serves standbys alone.
    let none = Series::new();
    let plan = plan(&none.inventory(), &count(1), &scope(15), 0, &TimeZone::UTC).unwrap();
    assert!(!keeps(&plan, 1, segment(1, 14)) && keeps(&plan, 1, segment(1, 15)));
}
