//! Properties of every plan, whatever the backups, marks and settings are.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use proptest::{option, prelude::*};

use super::support::*;
use crate::{
    repo::{keep::KeepMark, retention::*, started::Started, writer::Writer},
    types::{BackupLabel, BackupType},
};

#[derive(Clone, Debug)]
struct Step {
    kind: BackupType,
    hours: i64,
    has_errors: bool,
    mark: Option<Option<i64>>,
    timeline_switch: bool,
    upgrade: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![
        2 => Just(BackupType::Full),
        2 => Just(BackupType::Diff),
        3 => Just(BackupType::Incr)
    ];
    let mark = option::weighted(0.1, option::of(0i64..200 * DAY));
    let rarely = || prop::bool::weighted(0.08);
    (kind, 1i64..100, prop::bool::weighted(0.15), mark, rarely(), rarely()).prop_map(
        |(kind, hours, has_errors, mark, timeline_switch, upgrade)| Step {
            kind,
            hours,
            has_errors,
            mark,
            timeline_switch,
            upgrade,
        },
    )
}

fn series() -> impl Strategy<Value = Series> {
    prop::collection::vec(step(), 1..25).prop_map(|steps| {
        let (mut series, mut time) = (Series::new(), DAY);
        for (index, step) in steps.into_iter().enumerate() {
            time += step.hours * 3600;
            series.timeline += u32::from(step.timeline_switch);
            series.archive += u32::from(step.upgrade);
            let kind = if index == 0 || step.upgrade { BackupType::Full } else { step.kind };
            let place = series.add(kind, time);
            series.backups[place].has_errors = step.has_errors;
            series.backups[place].mark = step.mark.map(|until| KeepMark { until });
        }
        series
    })
}

fn settings() -> impl Strategy<Value = Settings> {
    let number = || option::of(1u32..8);
    let kind = prop_oneof![Just(BackupType::Full), Just(BackupType::Diff), Just(BackupType::Incr)];
    let full_type = prop_oneof![Just(FullType::Count), Just(FullType::Time)];
    let calendar = (number(), option::weighted(0.3, 1u32..4), option::weighted(0.3, 1u32..4));
    (number(), full_type, number(), number(), kind, option::weighted(0.4, calendar)).prop_map(
        |(full, full_type, diff, archive, archive_type, calendar)| Settings {
            full,
            full_type,
            diff,
            archive,
            archive_type,
            calendar: calendar.map_or(Calendar::default(), |(daily, weekly, monthly)| Calendar {
                daily,
                weekly,
                monthly,
                yearly: None,
            }),
        },
    )
}

/// A backup in progress: when it began, as a share of the whole time, and what it builds on.
fn running() -> impl Strategy<Value = Option<(f64, prop::sample::Index, bool)>> {
    option::of((0.0..1.0, any::<prop::sample::Index>(), any::<bool>()))
}

fn with_running(series: &Series, running: &Option<(f64, prop::sample::Index, bool)>) -> Inventory {
    let mut inventory = series.inventory();
    let Some((share, prior, has_notice)) = running else { return inventory };
    let prior = prior.get(&series.backups);
    let began = prior.stopped + ((series.now() - prior.stopped) as f64 * share) as i64;
    let label = BackupLabel::dependent(&prior.label, BackupType::Incr, &stamp(began + 1)).unwrap();
    let mut references: Vec<_> = prior.needs.iter().cloned().collect();
    references.push(prior.label.clone());
    let notice = Started {
        writer: Writer::named("h", 1),
        time: began,
        references,
        copies: None,
        nonce: None,
    };
    inventory.unpublished = vec![Unpublished {
        has_file_list: false,
        lost_since: None,
        label,
        started: has_notice.then_some(notice),
        newest: Some(series.now() - 60),
        is_abandoned: false,
    }];
    inventory
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn retention_never_breaks_anything(
        series in series(),
        settings in settings(),
        running in running(),
    ) {
        let inventory = with_running(&series, &running);
        let now = series.now();
        let made = plan(&inventory, &settings, &Scope::Retention, now, &TimeZone::UTC).unwrap();
        let kept: BTreeMap<_, _> = series
            .backups
            .iter()
            .filter(|b| made.kept.iter().any(|kept| kept.label == b.label))
            .map(|b| (b.label.clone(), b))
            .collect();

        // Every backup either stays or goes.
        prop_assert_eq!(kept.len() + made.backups.len(), series.backups.len());
        prop_assert!(made.backups.iter().all(|label| !kept.contains_key(label)));
        // No backup that stays needs one that goes.
        for backup in kept.values() {
            prop_assert!(backup.needs.iter().all(|needed| kept.contains_key(needed)));
        }
        // What goes first is not needed by what goes after it.
        for (index, label) in made.backups.iter().enumerate() {
            let facts = series.backups.iter().find(|b| b.label == *label).unwrap();
            prop_assert!(made.backups[..index].iter().all(|gone| !facts.needs.contains(gone)));
        }
        // The newest full, and the newest without page errors, stay.
        let fulls = || series.backups.iter().rev().filter(|b| b.kind() == BackupType::Full);
        prop_assert!(fulls().next().is_none_or(|full| kept.contains_key(&full.label)));
        let clean = fulls().find(|full| !full.has_errors);
        prop_assert!(clean.is_none_or(|full| kept.contains_key(&full.label)));
        // The newest backup stays.
        prop_assert!(kept.contains_key(&series.backups.last().unwrap().label));
        // Marked backups stay.
        prop_assert!(series.backups.iter().all(|b| !b.is_marked(now) || kept.contains_key(&b.label)));
        // What a backup in progress builds on stays.
        if let Some((_, prior, _)) = &running {
            let prior = prior.get(&series.backups);
            prop_assert!(kept.contains_key(&prior.label));
        }
        // The WAL that a backup that stays needs stays.
        for backup in kept.values() {
            for number in 0..2 {
                let start = backup.wal_start.number(backup.segment_size);
                let needed = segment(backup.wal_start.timeline.0, start + number);
                prop_assert!(keeps(&made, backup.archive_id.history_id.0, needed));
            }
        }
        // The newest backup of the current cluster can be rolled forward on any later timeline.
        let newest = series.backups.last().unwrap();
        for (timeline, number) in [(0, 0), (0, 77), (1, 0), (5, 1000)] {
            let later = segment(
                newest.wal_start.timeline.0 + timeline,
                newest.wal_start.number(newest.segment_size) + number,
            );
            prop_assert!(keeps(&made, series.archive, later));
        }
        // The WAL of a backup in progress, which began after every backup with a lesser label.
        for building in &made.in_progress {
            let before = series.backups.iter().rev().find(|b| {
                b.label < building.label && b.archive_id == inventory.current
            });
            if let Some(before) = before {
                prop_assert!(keeps(&made, series.archive, before.wal_stop));
            }
        }
        // A plan that was carried out leaves nothing to do.
        let mut left = inventory.clone();
        left.backups.retain(|backup| kept.contains_key(&backup.label));
        let again = plan(&left, &settings, &Scope::Retention, now, &TimeZone::UTC).unwrap();
        prop_assert_eq!(again.backups, Vec::<BackupLabel>::new());
    }

    #[test]
    fn the_archive_retention_that_is_asked_for_can_be_rolled_forward(
        series in series(),
        settings in settings(),
    ) {
        let now = series.now();
        let made = series.plan(&settings);
        let Some(count) = settings.archive else { return Ok(()) };
        let counted = series.backups.iter().rev().filter(|backup| {
            let held = families::held_backups(&series.backups, now);
            made.kept.iter().any(|kept| kept.label == backup.label)
                && backup.kind() <= settings.archive_type
                && !held.contains(&backup.label)
        });
        for backup in counted.take(count as usize) {
            let start = backup.wal_start.number(backup.segment_size);
            for number in [0, 1, 5, 9, 10, 500] {
                let needed = segment(backup.wal_start.timeline.0, start + number);
                prop_assert!(keeps(&made, backup.archive_id.history_id.0, needed));
            }
        }
    }

    #[test]
    fn an_asked_expire_breaks_no_chain(
        series in series(),
        chosen in any::<prop::sample::Index>(),
        running in running(),
        oldest in any::<bool>(),
    ) {
        let inventory = with_running(&series, &running);
        let label = chosen.get(&series.backups).label.clone();
        let scope = if oldest { Scope::Oldest } else { Scope::Set(label) };
        let made = plan(&inventory, &count(2), &scope, series.now(), &TimeZone::UTC);
        let Ok(made) = made else { return Ok(()) };
        let stays = |label: &BackupLabel| made.kept.iter().any(|kept| kept.label == *label);
        prop_assert!(series.backups.iter().filter(|b| stays(&b.label)).all(|b| b.needs.iter().all(stays)));
        prop_assert!(series.backups.iter().all(|b| !b.is_marked(series.now()) || stays(&b.label)));
        let is_full = |b: &&BackupSummary| b.kind() == BackupType::Full;
        prop_assert!(series.backups.iter().filter(is_full).any(|full| stays(&full.label)));
        if let Some((_, prior, _)) = &running {
            prop_assert!(stays(&prior.get(&series.backups).label));
        }
    }
}
