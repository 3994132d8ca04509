//! How far a backup can be rolled forward: the content of the archive, from listings and timeline histories alone,
//! compared with the files that a recovery along the newest timeline needs.

use std::{collections::BTreeMap, fmt};

use super::{
    Error, archive,
    branches::{Branch, branches},
    plan::{ArchiveView, wal},
};
use crate::{
    repo::{
        self,
        archive::{ArchivedSegments, SegmentRange, WalArchive},
        manifest::Manifest,
        wal_needed,
    },
    types::{Lsn, TimeLine, WalSegment, WalSegmentSize},
};

/// The WAL of one cluster in the archive.
#[derive(Clone, Debug)]
pub struct ArchiveWal {
    view: ArchiveView,
    segments: ArchivedSegments,
}

/// How far a backup can be rolled forward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryWindow {
    /// What is needed between start and stop; nothing where the history that tells is not usable.
    pub needed: Vec<SegmentRange>,
    /// What of that is missing; where anything is, the backup cannot be recovered.
    pub missing: Vec<SegmentRange>,
    /// Why it is not known what is needed; then the backup cannot be recovered either.
    pub unusable: Option<UnusableHistory>,
    /// The last segment that recovery can read.
    pub last: WalSegment,
    /// The position at which that segment ends.
    pub end: Lsn,
    /// When that segment came into the archive, seconds since 1970, where it is known.
    pub archived: Option<i64>,
    /// What is missing behind it although there is newer WAL.
    pub hole: Option<SegmentRange>,
    /// The history files without which PostgreSQL finds no newer timeline although there is WAL of it.
    pub histories_missing: Vec<TimeLine>,
}

/// Why the history of the timeline on which a backup stopped does not tell which WAL the backup needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnusableHistory {
    /// It is not in the archive, or cannot be read.
    Missing(TimeLine),
    /// It does not lead back to where the backup began.
    Other(TimeLine),
}

impl fmt::Display for UnusableHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(timeline) => {
                write!(f, "{} is missing or cannot be read", timeline.history_file_name())
            }
            Self::Other(timeline) => {
                write!(f, "{} does not continue to its start", timeline.history_file_name())
            }
        }
    }
}

impl ArchiveWal {
    /// Looks at the archive; histories that cannot be read come back beside it.
    pub async fn look(
        archive: &WalArchive,
        size: WalSegmentSize,
    ) -> Result<(Self, Vec<(TimeLine, Error)>), repo::Error> {
        let segments = archive.segments(size).await?;
        let (mut histories, mut unreadable) = (BTreeMap::new(), Vec::new());
        let listed = archive.timeline_histories().await?;
        for timeline in listed.keys().copied() {
            match archive::history(archive, timeline).await {
                Ok(history) => drop(histories.insert(timeline, history)),
                Err(error) => unreadable.push((timeline, error)),
            }
        }
        let newest = segments.newest();
        let archived =
            newest.iter().filter_map(|(id, last)| Some((*id, segments.modified(*last)?)));
        let archived = archived.collect();
        let begun = listed.into_iter().filter_map(|(id, modified)| Some((id, modified?))).collect();
        let view = ArchiveView { histories, newest, archived, begun };
        Ok((Self { view, segments }, unreadable))
    }

    /// The segments that are there.
    pub fn segments(&self) -> &ArchivedSegments {
        &self.segments
    }

    /// The timelines that continue beside a newer one.
    pub fn branches(&self) -> Vec<Branch> {
        branches(&self.view, self.segments.size)
    }

    /// How far `backup` can be rolled forward along the newest timeline that can be reached from it.
    pub fn window(&self, backup: &Manifest) -> RecoveryWindow {
        let size = backup.cluster.wal_segment_size;
        let (needed, unusable) = match self.needed(backup) {
            Ok(needed) => (needed, None),
            Err(unusable) => (Vec::new(), Some(unusable)),
        };
        let mut window = RecoveryWindow {
            missing: needed.iter().flat_map(|range| self.segments.missing(*range)).collect(),
            needed,
            unusable,
            last: backup.wal_stop(),
            end: Lsn(0),
            archived: None,
            hole: None,
            histories_missing: self.histories_missing(backup),
        };
        let history = self.view.history(self.newest_reachable(backup));
        for range in wal::onward(backup, &history, &self.view) {
            if let Some(hole) = self.segments.missing(range).first() {
                if hole.first != range.first {
                    let before = hole.first.number(size) - 1;
                    window.last = WalSegment::from_number(before, range.first.timeline, size);
                }
                window.hole = Some(*hole);
                break;
            }
            window.last = range.last;
        }
        window.end = Lsn((window.last.number(size) + 1).saturating_mul(size.bytes()));
        window.archived = self.segments.modified(window.last);
        window
    }

    fn needed(&self, backup: &Manifest) -> Result<Vec<SegmentRange>, UnusableHistory> {
        let stop = backup.wal.stop.timeline;
        let needs_history = wal_needed::history_of(backup.wal).is_some();
        if needs_history && !self.view.histories.contains_key(&stop) {
            return Err(UnusableHistory::Missing(stop));
        }
        let size = backup.cluster.wal_segment_size;
        let needed = wal_needed::segments(backup.wal, &self.view.history(stop), size);
        needed.map_err(|_| UnusableHistory::Other(stop))
    }

    fn newest_reachable(&self, backup: &Manifest) -> TimeLine {
        let known = self.view.histories.keys().rev();
        let reachable = known.copied().find(|timeline| self.view.reaches(backup, *timeline));
        reachable.unwrap_or(TimeLine::FIRST).max(backup.wal.stop.timeline)
    }

    /// Timelines after the backup's of which there is WAL and no history, so that nothing is known of
    /// where they came from.
    fn histories_missing(&self, backup: &Manifest) -> Vec<TimeLine> {
        let later = self.view.newest.keys().filter(|id| **id > backup.wal.stop.timeline);
        later.filter(|id| !self.view.histories.contains_key(id)).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        repo::archive::SegmentRun, restore::tests::repository::manifest, types::TimelineHistory,
    };

    const SIZE: WalSegmentSize = WalSegmentSize::DEFAULT;

    /// Starts and stops in segment 2 of timeline 1.
    fn backup() -> Manifest {
        manifest("20261121-092452F", TimeLine(1), Lsn(0x200_0028), Lsn(0x200_0100), 0)
    }

    fn archive(runs: &[(u32, u64, u64)], histories: &[(u32, &str)]) -> ArchiveWal {
        let mut segments = ArchivedSegments { size: SIZE, runs: BTreeMap::new() };
        for &(timeline, first, last) in runs {
            let modified = Some(last as i64);
            let of_timeline = segments.runs.entry(TimeLine(timeline)).or_default();
            of_timeline.push(SegmentRun { first, last, modified });
        }
        let parse = |(id, text): &(u32, &str)| {
            let timeline = TimeLine(*id);
            (timeline, TimelineHistory::parse(timeline, text.as_bytes()).unwrap())
        };
        let histories = histories.iter().map(parse).collect();
        let newest = segments.newest();
        ArchiveWal { view: ArchiveView { histories, newest, ..ArchiveView::default() }, segments }
    }

    fn names(range: &SegmentRange) -> String {
        let low = |segment: WalSegment| segment.number(SIZE);
        format!("{}:{}-{}", range.first.timeline, low(range.first), low(range.last))
    }

    fn shown(archive: &ArchiveWal) -> String {
        let window = archive.window(&backup());
        let missing: Vec<_> = window.missing.iter().map(names).collect();
        let hole = window.hole.as_ref().map(names);
        let last = window.last.number(SIZE);
        format!(
            "missing {missing:?}, to {}:{last} {} at {:?}, hole {hole:?}, no history {:?}",
            window.last.timeline, window.end, window.archived, window.histories_missing
        )
    }

    #[test]
    fn unbroken_wal_leads_to_the_newest_segment() {
        insta::assert_snapshot!(shown(&archive(&[(1, 1, 9)], &[])), @"missing [], to 1:9 0/A000000 at Some(9), hole None, no history []");
        insta::assert_snapshot!(shown(&archive(&[(1, 2, 2)], &[])), @"missing [], to 1:2 0/3000000 at Some(2), hole None, no history []");
    }

    #[test]
    fn a_hole_ends_the_window() {
        insta::assert_snapshot!(shown(&archive(&[(1, 1, 4), (1, 7, 9)], &[])), @"missing [], to 1:4 0/5000000 at Some(4), hole Some(\"1:5-6\"), no history []");
        insta::assert_snapshot!(shown(&archive(&[(1, 1, 2), (1, 4, 9)], &[])), @"missing [], to 1:2 0/3000000 at Some(2), hole Some(\"1:3-3\"), no history []");
        insta::assert_snapshot!(shown(&archive(&[(1, 3, 9)], &[])), @r#"missing ["1:2-2"], to 1:9 0/A000000 at Some(9), hole None, no history []"#);
        insta::assert_snapshot!(shown(&archive(&[], &[])), @r#"missing ["1:2-2"], to 1:2 0/3000000 at None, hole None, no history []"#);
    }

    #[test]
    fn a_promoted_cluster_goes_on_along_its_timeline() {
        let history = (2, "1\t0/5000100\tx\n");
        insta::assert_snapshot!(shown(&archive(&[(1, 1, 4), (2, 5, 8)], &[history])), @"missing [], to 2:8 0/9000000 at Some(8), hole None, no history []");
        insta::assert_snapshot!(shown(&archive(&[(1, 1, 30), (2, 5, 8)], &[history])), @"missing [], to 2:8 0/9000000 at Some(8), hole None, no history []");
        insta::assert_snapshot!(shown(&archive(&[(1, 1, 30), (2, 6, 8)], &[history])), @r#"missing [], to 1:4 0/5000000 at None, hole Some("2:5-5"), no history []"#);
        insta::assert_snapshot!(shown(&archive(&[(1, 1, 3), (2, 5, 8)], &[history])), @r#"missing [], to 1:3 0/4000000 at Some(3), hole Some("1:4-4"), no history []"#);
    }

    #[test]
    fn a_timeline_without_history_is_not_followed_but_named() {
        insta::assert_snapshot!(shown(&archive(&[(1, 1, 4), (2, 5, 8)], &[])), @"missing [], to 1:4 0/5000000 at Some(4), hole None, no history [TimeLine(2)]");
        let early = (2, "1\t0/1000000\tx\n");
        insta::assert_snapshot!(shown(&archive(&[(1, 1, 4), (2, 5, 8)], &[early])), @"missing [], to 1:4 0/5000000 at Some(4), hole None, no history []");
    }
}
