//! Branches: timelines of one archive that continue beside each other, because two servers archive into it. It happens
//! where a restored copy, or a standby that was promoted while its primary lived, archives into the stanza of the
//! original. PostgreSQL follows the newest timeline, and what the other server writes would be lost without a word.

use std::fmt;

use jiff::Timestamp;

use super::{
    Error, archive,
    plan::{ArchiveView, TimelineDecision},
};
use crate::{
    repo::archive::WalArchive,
    types::{Lsn, RecoveryTarget, TargetTimeline, TimeLine, WalSegment, WalSegmentSize},
};

/// What to do about branches, wherever they are named.
pub const COPY_HINT: &str = "restore follows the newest timeline by default: choose another with \
                             --target-timeline.\n\
                             if one of the servers is a restored copy, stop its archiving; restore \
                             copies with --archive-mode=off.";

/// A timeline that went on after a newer one had left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// The timeline.
    pub timeline: TimeLine,
    /// Its newest segment.
    pub newest: WalSegment,
    /// When that segment was archived, seconds since 1970, where it is known.
    pub archived: Option<i64>,
    /// The newer timeline.
    pub beside: TimeLine,
    /// Where the newer timeline left it, or the timeline that both come from.
    pub fork: Lsn,
    /// The newest segment of the newer timeline, if it has any.
    pub beside_newest: Option<WalSegment>,
    /// When that segment was archived.
    pub beside_archived: Option<i64>,
}

impl Branch {
    /// The timeline with the WAL that was archived last, where that is known.
    pub fn newest_timeline(&self) -> Option<TimeLine> {
        let (own, other) = (self.archived?, self.beside_archived?);
        Some(if own > other { self.timeline } else { self.beside })
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { timeline, newest, beside, fork, .. } = self;
        write!(f, "timeline {timeline} continues to {newest}{}", archived_at(self.archived))?;
        write!(f, " although timeline {beside} forked from it at {fork}")?;
        if let Some(newest) = self.beside_newest {
            write!(f, " and continues to {newest}{}", archived_at(self.beside_archived))?;
        }
        Ok(())
    }
}

fn archived_at(seconds: Option<i64>) -> String {
    let moment = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    let at =
        moment.map(|moment| moment.strftime(" (archived at %Y-%m-%d %H:%M:%S+00)").to_string());
    at.unwrap_or_default()
}

/// The branches of an archive, from its listings and history files.
pub async fn in_archive(archive: &WalArchive, size: WalSegmentSize) -> Result<Vec<Branch>, Error> {
    Ok(branches(&archive::view(archive, TimeLine(0)).await?, size))
}

/// Each timeline that has WAL behind the position at which a newer one left it, archived after that one began. What was
/// archived before is the end that was given up by a recovery to an earlier point, which is no second server. Where the
/// times are not known, it is named.
pub(super) fn branches(view: &ArchiveView, size: WalSegmentSize) -> Vec<Branch> {
    let beside = |timeline: TimeLine, newest: WalSegment| {
        let later = view.histories.keys().filter(move |other| **other > timeline);
        later.copied().find_map(move |other| branch(view, timeline, newest, other, size))
    };
    view.newest.iter().filter_map(|(timeline, newest)| beside(*timeline, *newest)).collect()
}

fn branch(
    view: &ArchiveView,
    timeline: TimeLine,
    newest: WalSegment,
    beside: TimeLine,
    size: WalSegmentSize,
) -> Option<Branch> {
    let fork = fork(view, timeline, beside)?;
    let archived = view.archived.get(&timeline).copied();
    let begun = view.begun.get(&beside).copied();
    // The segment of the fork itself is archived by both, with a part that differs.
    let behind = newest.number(size) > fork.0.saturating_sub(1) / size.bytes();
    let after = archived.zip(begun).is_none_or(|(archived, begun)| archived >= begun);
    (behind && after).then(|| Branch {
        timeline,
        newest,
        archived,
        beside,
        fork,
        beside_newest: view.newest.get(&beside).copied(),
        beside_archived: view.archived.get(&beside).copied(),
    })
}

/// Where two timelines part; `None` where their histories do not tell.
fn fork(view: &ArchiveView, timeline: TimeLine, beside: TimeLine) -> Option<Lsn> {
    let newer = view.histories.get(&beside)?;
    if let Some(end) = newer.end_of(timeline) {
        return Some(end);
    }
    let own = view.histories.get(&timeline)?;
    let common = own.ancestors.iter().rev();
    common.filter_map(|ancestor| Some(newer.end_of(ancestor.timeline)?.min(ancestor.end))).next()
}

/// What a restore that was not told which timeline to follow would leave behind.
pub(super) fn left_behind(
    view: &ArchiveView,
    decision: &TimelineDecision,
    choice: TargetTimeline,
    target: &RecoveryTarget,
    size: WalSegmentSize,
) -> Vec<String> {
    let chosen = matches!(choice, TargetTimeline::Number(_) | TargetTimeline::Current);
    if chosen || !target.goes_on() {
        return Vec::new();
    }
    let followed = &decision.history;
    let follows = |timeline| followed.timeline == timeline || followed.end_of(timeline).is_some();
    let left = |branch: &Branch| branch.timeline != followed.timeline && follows(branch.beside);
    branches(view, size)
        .into_iter()
        .filter(left)
        .map(|branch| {
            format!(
                "recovery will follow timeline {} without the changes that only timeline {} has: \
                 {branch}\n\
                 HINT: use --target-timeline={} to recover the changes of that timeline.",
                followed.timeline, branch.timeline, branch.timeline
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TimelineHistory;

    const SIZE: WalSegmentSize = WalSegmentSize::DEFAULT;

    /// An archive with the newest segment of timelines and when it was archived, and histories with when they were.
    fn view(newest: &[(u32, u64, i64)], histories: &[(u32, &str, i64)]) -> ArchiveView {
        let mut view = ArchiveView::default();
        for (id, number, archived) in newest {
            let timeline = TimeLine(*id);
            view.newest.insert(timeline, WalSegment::from_number(*number, timeline, SIZE));
            view.archived.insert(timeline, *archived);
        }
        for (id, text, begun) in histories {
            let timeline = TimeLine(*id);
            let history = TimelineHistory::parse(timeline, text.as_bytes()).unwrap();
            view.histories.insert(timeline, history);
            view.begun.insert(timeline, *begun);
        }
        view
    }

    fn shown(view: &ArchiveView) -> Vec<String> {
        let found = branches(view, SIZE);
        found.iter().map(|it| format!("{} beside {}", it.timeline, it.beside)).collect()
    }

    const AT_5: &str = "1\t0/5000100\tx\n";

    #[test]
    fn a_timeline_that_goes_on_after_a_copy_left_it_is_a_branch() {
        let both = view(&[(1, 9, 300), (2, 6, 250)], &[(2, AT_5, 200)]);
        assert_eq!(shown(&both), ["1 beside 2"]);
        let branch = &branches(&both, SIZE)[0];
        assert_eq!(branch.newest_timeline(), Some(TimeLine(1)));
        insta::assert_snapshot!(branch, @"timeline 1 continues to 000000010000000000000009 \
                                          (archived at 1970-01-01 00:05:00+00) although timeline 2 \
                                          forked from it at 0/5000100 and continues to \
                                          000000020000000000000006 (archived at 1970-01-01 \
                                          00:04:10+00)");
    }

    #[test]
    fn an_end_that_was_given_up_and_a_clean_promotion_are_none() {
        let given_up = view(&[(1, 9, 100), (2, 6, 250)], &[(2, AT_5, 200)]);
        assert!(shown(&given_up).is_empty());
        let promoted = view(&[(1, 5, 300), (2, 6, 250)], &[(2, AT_5, 200)]);
        assert!(shown(&promoted).is_empty());
        let in_a_row = view(
            &[(1, 5, 100), (2, 8, 250), (3, 9, 400)],
            &[(2, AT_5, 200), (3, "1\t0/5000100\tx\n2\t0/8000100\tx\n", 300)],
        );
        assert!(shown(&in_a_row).is_empty());
    }

    #[test]
    fn where_times_are_not_known_it_is_named() {
        let mut unknown = view(&[(1, 9, 100)], &[(2, AT_5, 200)]);
        unknown.archived.clear();
        assert_eq!(shown(&unknown), ["1 beside 2"]);
    }

    #[test]
    fn two_children_of_one_timeline_are_branches() {
        let children = view(
            &[(1, 5, 100), (2, 8, 500), (3, 9, 400)],
            &[(2, AT_5, 200), (3, "1\t0/4000100\tx\n", 300)],
        );
        assert_eq!(shown(&children), ["2 beside 3"]);
        assert_eq!(branches(&children, SIZE)[0].fork, Lsn(0x400_0100));
    }

    #[test]
    fn only_a_restore_that_chooses_by_itself_warns() {
        let both = view(&[(1, 9, 300), (2, 6, 250)], &[(2, AT_5, 200)]);
        let decision =
            TimelineDecision { history: both.history(TimeLine(2)), setting: None, note: None };
        let warned =
            |choice, target: RecoveryTarget| left_behind(&both, &decision, choice, &target, SIZE);
        let warnings = warned(TargetTimeline::Default, RecoveryTarget::Latest);
        assert!(warnings.len() == 1 && warnings[0].contains("--target-timeline=1"), "{warnings:?}");
        let numbered = TargetTimeline::Number(TimeLine(2));
        assert!(warned(numbered, RecoveryTarget::Latest).is_empty());
        assert!(warned(TargetTimeline::Default, RecoveryTarget::Immediate).is_empty());
    }
}
