//! Which timeline recovery follows, from what the archive holds. PostgreSQL itself looks for the next
//! history file until one is missing, and then silently stays on an older timeline; here that is
//! said before anything is touched.

use std::collections::BTreeMap;

use crate::{
    repo::{manifest::Manifest, wal_needed},
    restore::Error,
    types::{ErrorCode, RecoveryTarget, TargetTimeline, TimeLine, TimelineHistory, WalSegment},
};

/// What the archive of a cluster holds, as far as the choice depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArchiveView {
    /// The history files.
    pub histories: BTreeMap<TimeLine, TimelineHistory>,
    /// The newest segment of each timeline that has any.
    pub newest: BTreeMap<TimeLine, WalSegment>,
    /// When the newest segment of each timeline was archived, seconds since 1970, where it is known.
    pub archived: BTreeMap<TimeLine, i64>,
    /// When the history file of each timeline was archived, seconds since 1970, where it is known.
    pub begun: BTreeMap<TimeLine, i64>,
}

/// The timeline that recovery will follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineDecision {
    /// The timeline and its ancestors.
    pub history: TimelineHistory,
    /// What `recovery_target_timeline` must say; `None` for PostgreSQL's default, `latest`.
    pub setting: Option<String>,
    /// Why it is not the one that was asked for.
    pub note: Option<String>,
}

impl ArchiveView {
    /// Whether a recovery from `backup` can follow `timeline`, as far as is known.
    pub fn reaches(&self, backup: &Manifest, timeline: TimeLine) -> bool {
        let stop = backup.wal.stop;
        timeline == stop.timeline
            || self
                .histories
                .get(&timeline)
                .is_some_and(|history| history.holds(stop.timeline, stop.lsn))
    }

    /// Chooses the timeline for a recovery from `backup`.
    pub fn decide(
        &self,
        backup: &Manifest,
        target: &RecoveryTarget,
        choice: TargetTimeline,
    ) -> Result<TimelineDecision, Error> {
        let own = backup.wal.stop.timeline;
        // The control file of a backup that went over to another timeline may still name the older one.
        let setting = wal_needed::history_of(backup.wal).map(|timeline| timeline.to_string());
        let setting = setting.unwrap_or_else(|| "current".to_owned());
        let current = || TimelineDecision {
            history: self.history(own),
            setting: Some(setting.clone()),
            note: None,
        };
        match choice {
            _ if !target.has_settings() => Ok(TimelineDecision { setting: None, ..current() }),
            TargetTimeline::Current => Ok(current()),
            // No other timeline is needed, and PostgreSQL would stumble over one it cannot reach.
            TargetTimeline::Default if *target == RecoveryTarget::Immediate => Ok(current()),
            TargetTimeline::Number(timeline) => self.numbered(backup, timeline),
            TargetTimeline::Default => self.latest(backup, None),
            TargetTimeline::Latest => self.latest(backup, Some("latest".to_owned())),
        }
    }

    /// The history of a timeline, without ancestors where the archive does not tell.
    pub(crate) fn history(&self, timeline: TimeLine) -> TimelineHistory {
        let known = self.histories.get(&timeline).cloned();
        known.unwrap_or_else(|| TimelineHistory::without_ancestors(timeline))
    }

    fn numbered(&self, backup: &Manifest, timeline: TimeLine) -> Result<TimelineDecision, Error> {
        let own = backup.wal.stop.timeline;
        // An older timeline cannot have come from this one, whatever its history says.
        if timeline > own && !self.histories.contains_key(&timeline) {
            return Err(missing_history(timeline, "which is needed to follow that timeline", ""));
        }
        if !self.reaches(backup, timeline) {
            return Err(Error::refused(
                ErrorCode::DbMismatch,
                self.why_not(backup, timeline),
                "restore a backup that was made before the fork (--set), or follow another timeline",
            ));
        }
        let setting = Some(timeline.to_string());
        Ok(TimelineDecision { history: self.history(timeline), setting, note: None })
    }

    /// The newest timeline, or, where it cannot be reached from the backup, the newest that can.
    fn latest(
        &self,
        backup: &Manifest,
        setting: Option<String>,
    ) -> Result<TimelineDecision, Error> {
        let own = backup.wal.stop.timeline;
        let known = self.histories.last_key_value().map(|(timeline, _)| *timeline);
        let seen = self.newest.last_key_value().map(|(timeline, _)| *timeline);
        let newest = known.into_iter().chain(seen).fold(own, TimeLine::max);
        let between = (own.0..newest.0).map(|number| TimeLine(number + 1));
        if let Some(missing) = between.clone().find(|next| !self.histories.contains_key(next)) {
            let why = match self.newest.contains_key(&missing) {
                true => "although there is WAL of that timeline",
                false => "although there are newer timelines, which PostgreSQL would not find",
            };
            return Err(missing_history(missing, why, own));
        }
        if self.reaches(backup, newest) {
            return Ok(TimelineDecision { history: self.history(newest), setting, note: None });
        }
        let reachable = between.rev().find(|timeline| self.reaches(backup, *timeline));
        let timeline = reachable.unwrap_or(own);
        Ok(TimelineDecision {
            history: self.history(timeline),
            setting: Some(timeline.to_string()),
            note: Some(format!(
                "{}; recovery will follow timeline {timeline} instead",
                self.why_not(backup, newest)
            )),
        })
    }

    fn why_not(&self, backup: &Manifest, timeline: TimeLine) -> String {
        let (label, stop) = (&backup.label, backup.wal.stop);
        let own = stop.timeline;
        match self.histories.get(&timeline).and_then(|history| history.end_of(own)) {
            Some(fork) => format!(
                "timeline {timeline} forked from timeline {own} at {fork}, before backup {label} \
                 stopped at {}",
                stop.lsn
            ),
            None => format!(
                "timeline {own} of backup {label} is not in the history of timeline {timeline}"
            ),
        }
    }
}

fn missing_history(timeline: TimeLine, why: &str, own: impl std::fmt::Display) -> Error {
    let own = own.to_string();
    let hint = match own.as_str() {
        "" => "push the file to the archive, or follow another timeline".to_owned(),
        own => format!(
            "push the file to the archive, or choose a timeline with --target-timeline (the backup \
             is on timeline {own})"
        ),
    };
    let what = format!("'{}' is not in the archive, {why}", timeline.history_file_name());
    Error::refused(ErrorCode::FileMissing, what, hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{restore::tests::repository::manifest, types::Lsn};

    /// The archive with these history files, and WAL of these timelines.
    fn view(histories: &[(u32, &str)], with_wal: &[u32]) -> ArchiveView {
        let parse = |(id, text): &(u32, &str)| {
            let timeline = TimeLine(*id);
            (timeline, TimelineHistory::parse(timeline, text.as_bytes()).unwrap())
        };
        let segment = |id: &u32| {
            let size = crate::types::WalSegmentSize::DEFAULT;
            (TimeLine(*id), WalSegment::containing(Lsn(0x900_0000), TimeLine(*id), size))
        };
        ArchiveView {
            histories: histories.iter().map(parse).collect(),
            newest: with_wal.iter().map(segment).collect(),
            ..ArchiveView::default()
        }
    }

    fn decide(view: &ArchiveView, backup: &Manifest, choice: TargetTimeline) -> String {
        match view.decide(backup, &RecoveryTarget::Latest, choice) {
            Ok(decision) => format!(
                "{} {:?}{}",
                decision.history.timeline,
                decision.setting,
                decision.note.map(|note| format!(" ({note})")).unwrap_or_default()
            ),
            Err(error) => error.to_string(),
        }
    }

    /// Stops at 0/2000100 on timeline 1.
    fn backup() -> Manifest {
        manifest("20261121-092452F", TimeLine(1), Lsn(0x200_0028), Lsn(0x200_0100), 0)
    }

    const LATE: &str = "1\t0/5000000\tx\n";
    const EARLY: &str = "1\t0/1000000\tx\n";

    #[test]
    fn the_newest_timeline_is_followed() {
        use TargetTimeline::*;
        let one = view(&[], &[1]);
        assert_eq!(decide(&one, &backup(), Default), "1 None");
        assert_eq!(decide(&one, &backup(), Latest), "1 Some(\"latest\")");
        let two = view(&[(2, LATE)], &[1, 2]);
        assert_eq!(decide(&two, &backup(), Default), "2 None");
        assert_eq!(decide(&two, &backup(), Current), "1 Some(\"current\")");
        assert_eq!(decide(&two, &backup(), Number(TimeLine(1))), "1 Some(\"1\")");
        assert_eq!(decide(&two, &backup(), Number(TimeLine(2))), "2 Some(\"2\")");
    }

    #[test]
    fn a_timeline_that_forked_before_the_backup_is_not_followed() {
        let forked = view(&[(2, EARLY)], &[1, 2]);
        insta::assert_snapshot!(decide(&forked, &backup(), TargetTimeline::Default), @"1 Some(\"1\") (timeline 2 forked from timeline 1 at 0/1000000, before backup 20261121-092452F stopped at 0/2000100; recovery will follow timeline 1 instead)");
        insta::assert_snapshot!(decide(&forked, &backup(), TargetTimeline::Number(TimeLine(2))), @"timeline 2 forked from timeline 1 at 0/1000000, before backup 20261121-092452F stopped at 0/2000100");
        let middle = view(&[(2, LATE), (3, EARLY)], &[1, 2, 3]);
        assert!(decide(&middle, &backup(), TargetTimeline::Latest).starts_with("2 Some(\"2\")"));
        let unrelated = view(&[(2, EARLY), (3, "2\t0/9000000\tx\n")], &[1, 2, 3]);
        insta::assert_snapshot!(decide(&unrelated, &backup(), TargetTimeline::Default), @"1 Some(\"1\") (timeline 1 of backup 20261121-092452F is not in the history of timeline 3; recovery will follow timeline 1 instead)");
    }

    #[test]
    fn a_missing_history_is_named() {
        let lost = view(&[], &[1, 2]);
        insta::assert_snapshot!(decide(&lost, &backup(), TargetTimeline::Default), @"'00000002.history' is not in the archive, although there is WAL of that timeline");
        let gap = view(&[(3, LATE)], &[1]);
        insta::assert_snapshot!(decide(&gap, &backup(), TargetTimeline::Latest), @"'00000002.history' is not in the archive, although there are newer timelines, which PostgreSQL would not find");
        assert_eq!(decide(&gap, &backup(), TargetTimeline::Number(TimeLine(3))), "3 Some(\"3\")");
        insta::assert_snapshot!(decide(&lost, &backup(), TargetTimeline::Number(TimeLine(7))), @"'00000007.history' is not in the archive, which is needed to follow that timeline");
        assert_eq!(decide(&lost, &backup(), TargetTimeline::Current), "1 Some(\"current\")");
    }

    #[test]
    fn older_timelines_do_not_matter() {
        let on_three =
            manifest("20261121-092452F", TimeLine(3), Lsn(0x600_0028), Lsn(0x600_0100), 0);
        let archive = view(&[], &[1, 2, 3]);
        assert_eq!(decide(&archive, &on_three, TargetTimeline::Default), "3 None");
        insta::assert_snapshot!(decide(&archive, &on_three, TargetTimeline::Number(TimeLine(1))), @"timeline 3 of backup 20261121-092452F is not in the history of timeline 1");
    }

    #[test]
    fn a_backup_that_went_over_to_another_timeline_names_it() {
        let mut backup =
            manifest("20261121-092452F", TimeLine(1), Lsn(0x200_0028), Lsn(0x600_0100), 0);
        backup.wal.stop.timeline = TimeLine(2);
        let archive = view(&[(2, LATE)], &[1, 2]);
        let decide = |choice| decide(&archive, &backup, choice);
        assert_eq!(decide(TargetTimeline::Current), "2 Some(\"2\")");
        assert_eq!(decide(TargetTimeline::Default), "2 None");
        let immediate =
            archive.decide(&backup, &RecoveryTarget::Immediate, TargetTimeline::Default);
        assert_eq!(immediate.unwrap().setting.as_deref(), Some("2"));
    }

    #[test]
    fn immediate_stays_on_its_timeline() {
        let forked = view(&[(2, EARLY)], &[1, 2]);
        let decide = |target| forked.decide(&backup(), &target, TargetTimeline::Default).unwrap();
        assert_eq!(decide(RecoveryTarget::Immediate).setting.as_deref(), Some("current"));
        assert_eq!(decide(RecoveryTarget::None).setting, None);
        assert_eq!(decide(RecoveryTarget::Preserve).setting, None);
    }
}
