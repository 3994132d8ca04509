//! When times of files are relied on, and for which files.

use std::{collections::BTreeMap, sync::Arc};

use super::{super::PriorFile, plan::*, *};
use crate::{
    repo::manifest::{Span, WalPosition},
    types::Lsn,
};

/// The second in which the copying of the prior backup began.
const SINCE: i64 = 1_000_000;
const NOW: i64 = SINCE + 5000;

#[derive(Debug)]
struct Files(BTreeMap<DataPath, PriorFile>);

impl super::super::PriorFiles for Files {
    fn file(&self, path: &DataPath) -> Option<PriorFile> {
        self.0.get(path).copied()
    }
}

fn at(lsn: u64) -> WalPosition {
    WalPosition { lsn: Lsn(lsn), timeline: TimeLine(1) }
}

fn path(name: &str) -> DataPath {
    DataPath::new(name.as_bytes()).unwrap()
}

fn prior(files: &[(&str, u64, i64)]) -> SourceHints {
    let file =
        |&(name, size, modified): &(&str, u64, i64)| (path(name), PriorFile { size, modified });
    SourceHints {
        files: Arc::new(Files(files.iter().map(file).collect())),
        wal: Span { start: at(1), stop: at(2) },
        hint: ChangeHint::Times { since_us: SINCE * 1_000_000 },
    }
}

fn found(name: &str, size: u64, modified: i64) -> ScannedEntry {
    let kind = ScannedKind::File { size };
    ScannedEntry { path: path(name), kind, mode: 0o600, modified, uid: 1, gid: 1, link: None }
}

fn judge(entries: &[ScannedEntry], prior: &SourceHints, now: i64) -> Result<i64, String> {
    times_before(entries, prior, SINCE * 1_000_000 + 999_999, now)
}

#[test]
fn a_clock_that_goes_forward_is_relied_on() {
    let prior = prior(&[("a", 10, SINCE - 9), ("b", 10, SINCE - 9), ("gone", 1, 1)]);
    let entries = [found("a", 10, SINCE - 9), found("b", 20, NOW), found("new", 1, NOW + 1)];
    assert_eq!(judge(&entries, &prior, NOW), Ok(SINCE - 1));
}

#[test]
fn a_clock_that_went_back_is_not() {
    let prior = prior(&[("a", 10, SINCE - 9)]);
    let refused = |entry, now| judge(&[entry], &prior, now).unwrap_err();
    let same = found("a", 10, SINCE - 9);
    assert_eq!(refused(same, SINCE - 1), "the clock is before the prior backup");
    let future = refused(found("new", 10, NOW + 2), NOW);
    assert_eq!(future, "'new' has a modification time in the future");
    let earlier = refused(found("a", 10, SINCE - 10), NOW);
    assert_eq!(earlier, "'a' has an earlier modification time than in the prior backup");
    let other = refused(found("a", 11, SINCE - 9), NOW);
    assert_eq!(other, "'a' has another size but the same modification time");
}

#[test]
fn changed_pages_are_read_and_those_between_are_not() {
    use FileRange::{Read, Unchanged};
    let pages = |ranges: &[std::ops::Range<u32>], pages: u64| {
        Reading::Pages(ranges.to_vec()).ranges(pages * 10, 10)
    };
    assert_eq!(
        pages(&[2..3, 5..9], 12),
        [Unchanged(20), Read(10), Unchanged(20), Read(40), Unchanged(30)]
    );
    assert_eq!(pages(&[0..2, 4..6], 6), [Read(20), Unchanged(20), Read(20)]);
    assert_eq!(pages(&[], 3), [Unchanged(30)]);
    assert_eq!(pages(&[1..2, 2..9], 3), [Unchanged(10), Read(10), Read(10)], "it got shorter");
    assert_eq!(Reading::Whole.ranges(25, 10), [Read(25)]);
    assert_eq!(Reading::Whole.ranges(0, 10), []);
    assert_eq!(Reading::Nothing.ranges(25, 10), [Unchanged(25)]);
}

#[test]
fn only_files_that_surely_are_the_same_are_not_read() {
    let prior = prior(&[("a", 10, SINCE - 9), ("just", 10, SINCE - 1), ("empty", 0, 7)]);
    let before = judge(&[], &prior, NOW).unwrap();
    let planner = Planner::new(8192, Arc::clone(&prior.files), KnownChanges::Times { before });
    let reading = |name: &str, size, modified| planner.reading(&path(name), size, modified);
    assert_eq!(reading("a", 10, SINCE - 9), Reading::Nothing);
    assert_eq!(reading("a", 11, SINCE - 9), Reading::Whole, "another size");
    assert_eq!(reading("a", 10, SINCE - 8), Reading::Whole, "another time");
    assert_eq!(reading("new", 10, SINCE - 9), Reading::Whole, "not in the prior backup");
    assert_eq!(
        reading("just", 10, SINCE - 1),
        Reading::Whole,
        "it may have changed in that second"
    );
    assert_eq!(reading("empty", 0, 7), Reading::Whole, "nothing to leave out");
    let full = Planner::full(8192);
    assert_eq!(full.reading(&path("a"), 10, SINCE - 9), Reading::Whole);
}
