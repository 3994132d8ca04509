//! Retention of backups.

use jiff::tz::TimeZone;

use super::support::*;
use crate::{
    repo::{keep::KeepMark, retention::*, started::Started, writer::Writer},
    types::{BackupType, Failure},
};

#[test]
fn the_newest_fulls_stay_with_what_builds_on_them() {
    let series = Series::daily("F D I F D F I I");
    assert_eq!(series.days(&series.plan(&count(2))), [4, 5, 6, 7, 8]);
    assert_eq!(series.days(&series.plan(&count(1))), [6, 7, 8]);
    assert_eq!(series.days(&series.plan(&count(3))), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(series.days(&series.plan(&count(9_999_999))).len(), 8);
}

#[test]
fn without_a_rule_all_stays_and_that_is_said() {
    let series = Series::daily("F D F");
    let plan = series.plan(&Settings::default());
    assert_eq!(series.days(&plan), [1, 2, 3]);
    assert_eq!(plan.warnings.len(), 1);
    assert_eq!(*rule(&plan, 1), wal::ArchiveRule::KeepAll);
}

#[test]
fn what_depends_goes_before_what_it_depends_on() {
    let series = Series::daily("F D I F");
    let gone = series.plan(&count(1)).backups;
    assert_eq!(gone, [series.label(3), series.label(2), series.label(1)]);
}

#[test]
fn by_time_the_newest_full_of_that_age_stays() {
    // Fulls that are 25, 20 and 10 days old.
    let mut series = Series::new();
    for day in [5, 10, 20] {
        series.add(BackupType::Full, day * DAY);
    }
    let kept = |full| {
        let plan =
            plan(&series.inventory(), &days(full), &Scope::Retention, 30 * DAY, &TimeZone::UTC);
        series.days(&plan.unwrap())
    };
    assert_eq!(kept(15), [2, 3]);
    assert_eq!(kept(20), [2, 3]);
    assert_eq!(kept(21), [1, 2, 3]);
    assert_eq!(kept(25), [1, 2, 3]);
    assert_eq!(kept(26), [1, 2, 3]);
    assert_eq!(kept(9), [3]);
}

#[test]
fn fulls_count_as_differentials_but_do_not_expire_as_such() {
    let series = Series::daily("F D D F");
    let settings = Settings { diff: Some(2), ..count(5) };
    assert_eq!(series.days(&series.plan(&settings)), [1, 3, 4]);
}

#[test]
fn incrementals_go_with_their_differential() {
    let series = Series::daily("F I D I I D I");
    let settings = Settings { diff: Some(1), ..count(5) };
    assert_eq!(series.days(&series.plan(&settings)), [1, 2, 6, 7]);
}

#[test]
fn a_mark_keeps_the_chain_and_does_not_count() {
    let series = Series::daily("F D* I F F F");
    let plan = series.plan(&count(2));
    assert_eq!(series.days(&plan), [1, 2, 5, 6]);
    assert_eq!(plan.kept[0].reasons, [KeepReason::NeededBy(series.label(2))]);
    // A mark on a recent full does not push an older one out, and its family stays.
    let series = Series::daily("F F F* D F");
    assert_eq!(series.days(&series.plan(&count(2))), [2, 3, 4, 5]);
}

#[test]
fn a_mark_ends_with_its_time() {
    let mut series = Series::daily("F F F");
    let now = series.now();
    series.backups[0].mark = Some(KeepMark { until: Some(now + 1) });
    assert_eq!(series.days(&series.plan(&count(1))), [1, 3]);
    series.backups[0].mark = Some(KeepMark { until: Some(now) });
    assert_eq!(series.days(&series.plan(&count(1))), [3]);
}

#[test]
fn the_last_backup_without_page_errors_stays() {
    let series = Series::daily("F F D F! D F!");
    let plan = series.plan(&count(1));
    assert_eq!(series.days(&plan), [2, 3, 6]);
    assert!(plan.warnings[0].contains("errors"), "{:?}", plan.warnings);
    // And its WAL, to roll it forward.
    assert!(keeps(&plan, 1, series.backups[3].wal_start));
    assert!(!keeps(&plan, 1, segment(1, 29)));
    let single = Series::daily("F F! F!");
    let plan = single.plan(&count(1));
    assert_eq!(single.days(&plan), [1, 3]);
    assert_eq!(plan.warnings.len(), 1, "{:?}", plan.warnings);
    let mended = Series::daily("F F D F! D F");
    assert_eq!(mended.days(&mended.plan(&count(1))), [6]);
    let hopeless = Series::daily("F! F! F!");
    assert_eq!(hopeless.days(&hopeless.plan(&count(1))), [3]);
}

#[test]
fn calendar_and_count_keep_what_either_keeps() {
    let series = Series::daily("F F F F F F F F F F D");
    let calendar = Calendar { weekly: Some(3), ..Calendar::default() };
    // Day 1 is Friday, the 2nd of January 1970; Sundays are days 3 and 10, and it is Monday, day 11.
    let plan = series.plan(&Settings { calendar, ..count(1) });
    assert_eq!(series.days(&plan), [3, 10, 11]);
    let alone = series.plan(&Settings { calendar, ..Settings::default() });
    assert_eq!(series.days(&alone), [3, 10, 11]);
    // What builds on a full that only a calendar rule keeps goes.
    let series = Series::daily("F D F D F D");
    let calendar = Calendar { daily: Some(4), ..Calendar::default() };
    assert_eq!(series.days(&series.plan(&Settings { calendar, ..count(1) })), [3, 5, 6]);
}

#[test]
fn of_a_day_the_last_full_without_page_errors_stays() {
    let mut series = Series::new();
    for hour in 0..4 {
        series.add(BackupType::Full, DAY + hour * 3600);
    }
    series.add(BackupType::Full, 2 * DAY);
    series.backups[3].has_errors = true;
    let calendar = Calendar { daily: Some(2), ..Calendar::default() };
    let plan = series.plan(&Settings { calendar, ..Settings::default() });
    assert_eq!(series.days(&plan), [3, 5]);
}

#[test]
fn a_running_backup_and_what_it_builds_on_are_left_alone() {
    let series = Series::daily("F I F F");
    let mut inventory = series.inventory();
    let now = series.now();
    let mut running = unpublished(&format!("{}_19700105-000000I", series.label(1)), now - 60);
    running.started = Some(Started {
        writer: Writer::named("other", 1),
        time: now - 60,
        references: vec![series.label(1), series.label(2)],
        copies: None,
        nonce: None,
    });
    let plan_at = |inventory: &Inventory, now| {
        plan(inventory, &count(1), &Scope::Retention, now, &TimeZone::UTC).unwrap()
    };
    inventory.unpublished = vec![running.clone()];
    let seen = plan_at(&inventory, now);
    assert_eq!(series.days(&seen), [1, 2, 4]);
    assert!(seen.left_overs.is_empty() && seen.in_progress.len() == 1);
    // Its WAL begins somewhere after that of the newest backup before it.
    assert!(keeps(&seen, 1, series.backups[3].wal_start));

    // Without a notice the label says which family it belongs to.
    running.started = None;
    inventory.unpublished = vec![running.clone()];
    assert_eq!(series.days(&plan_at(&inventory, now)), [1, 2, 4]);

    // Once it shows no sign of life, it is an interrupted backup.
    let later = plan_at(&inventory, now + GRACE_SECONDS);
    assert_eq!(series.days(&later), [4]);
    assert_eq!(later.left_overs, [running.label.clone()]);

    // The same at once where its process is gone.
    running.is_abandoned = true;
    inventory.unpublished = vec![running];
    assert_eq!(plan_at(&inventory, now).left_overs.len(), 1);
}

#[test]
fn a_running_backup_keeps_wal_from_the_last_backup_begun_before_it() {
    // Two hosts: one began after day 2, the other made the backups of days 3 and 4 meanwhile.
    let series = Series::daily("F F F F");
    let mut inventory = series.inventory();
    let running = format!("{}F", stamp(2 * DAY + 100));
    inventory.unpublished = vec![unpublished(&running, series.now() - 60)];
    let plan_for = |inventory: &Inventory| {
        plan(inventory, &count(1), &Scope::Retention, series.now(), &TimeZone::UTC).unwrap()
    };
    let seen = plan_for(&inventory);
    assert_eq!(series.days(&seen), [4]);
    assert!(keeps(&seen, 1, series.backups[1].wal_start));
    assert!(!keeps(&seen, 1, series.backups[0].wal_stop));
    // With no backup before it nothing is known, so nothing goes.
    inventory.unpublished = vec![unpublished("19700101-000000F", series.now() - 60)];
    assert_eq!(*rule(&plan_for(&inventory), 1), wal::ArchiveRule::KeepAll);
}

#[test]
fn a_clock_that_is_ahead_makes_nothing_a_left_over() {
    let fresh = unpublished("20261121-092452F", 1_000_000);
    assert!(matches!(fresh.state(0), UnpublishedState::InProgress(_)));
    let unknown = Unpublished { newest: None, ..fresh };
    assert!(matches!(unknown.state(i64::MAX), UnpublishedState::InProgress(_)));
}

#[test]
fn a_set_goes_with_what_builds_on_it() {
    let series = Series::daily("F D I F I");
    let set = |day| series.plan_for(&Settings::default(), &Scope::Set(series.label(day)));
    assert_eq!(series.days(&set(2).unwrap()), [1, 4, 5]);
    assert_eq!(series.days(&set(1).unwrap()), [4, 5]);
    assert_eq!(series.days(&set(3).unwrap()), [1, 2, 4, 5]);
    let newest = set(4).unwrap();
    assert_eq!(series.days(&newest), [1, 2, 3]);
    assert!(newest.warnings[0].contains("latest"), "{:?}", newest.warnings);
    let missing = Scope::Set("20200101-000000F".parse().unwrap());
    let error = series.plan_for(&Settings::default(), &missing).unwrap_err();
    assert_eq!(error.code().exit_code(), 75);
}

#[test]
fn a_set_that_must_stay_is_refused() {
    let series = Series::daily("F D I* F");
    let set = |series: &Series, day| series.plan_for(&count(1), &Scope::Set(series.label(day)));
    assert!(matches!(set(&series, 1), Err(Error::Marked { .. })));
    assert!(matches!(set(&series, 3), Err(Error::Marked { .. })));
    let last = Series::daily("F D");
    assert!(matches!(set(&last, 1), Err(Error::LastFull(_))));
    assert_eq!(last.days(&set(&last, 2).unwrap()), [1]);
    let mut inventory = series.inventory();
    inventory.backups[2].mark = None;
    let building = format!("{}_19700106-000000I", series.label(1));
    inventory.unpublished = vec![unpublished(&building, series.now())];
    let scope = Scope::Set(series.label(1));
    let refused = plan(&inventory, &count(1), &scope, series.now(), &TimeZone::UTC);
    assert!(matches!(refused, Err(Error::InUse { .. })));
}

#[test]
fn the_oldest_full_goes_whatever_retention_says() {
    let series = Series::daily("F D F F");
    let plan = series.plan_for(&count(9), &Scope::Oldest).unwrap();
    assert_eq!(series.days(&plan), [3, 4]);
    assert!(!keeps(&plan, 1, series.backups[1].wal_stop), "its WAL goes too");
    assert!(keeps(&plan, 1, series.backups[2].wal_start));
    let marked = Series::daily("F* D F F");
    assert_eq!(marked.days(&marked.plan_for(&count(9), &Scope::Oldest).unwrap()), [1, 2, 4]);
    let only = Series::daily("F D");
    assert_eq!(only.plan_for(&count(1), &Scope::Oldest), Err(Error::NoFull));
}

#[test]
fn a_dependent_whose_full_is_missing_stays_and_is_named() {
    let mut series = Series::daily("F D F F");
    series.backups.remove(0);
    let plan = series.plan(&count(1));
    let labels: Vec<_> = plan.kept.iter().map(|kept| kept.label.clone()).collect();
    assert_eq!(labels, [series.label(1), series.label(3)]);
    assert!(plan.warnings[0].contains("missing"), "{:?}", plan.warnings);
}

#[test]
fn a_backup_without_some_files_is_not_for_what_a_whole_one_goes() {
    use crate::{
        repo::retention::BackupSummary,
        restore::tests::repository::manifest,
        types::{DataPath, Lsn, TimeLine},
    };
    let mut marked = manifest("20261121-092452F", TimeLine(1), Lsn(1), Lsn(2), 0);
    assert!(!BackupSummary::new(&marked, None).has_errors);
    marked.left_out.push(DataPath::new(b"postgresql.conf").unwrap());
    assert!(BackupSummary::new(&marked, None).has_errors);
}
