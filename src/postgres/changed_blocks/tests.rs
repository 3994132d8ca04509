//! Ranges against sets of block numbers.

// A list with one range is what is meant.
#![allow(clippy::single_range_in_vec_init)]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const PAGE: u32 = 8192;
const SEGMENT: u32 = RELATION_SEGMENT_BYTES / PAGE;

fn path(text: &str) -> DataPath {
    DataPath::new(text.as_bytes()).unwrap()
}

fn row(relation: u32, fork: i16, block: u32, is_limit: bool) -> SummaryRow {
    SummaryRow {
        tablespace: Oid(1663),
        database: Oid(5),
        relation: Oid(relation),
        fork,
        block,
        is_limit,
    }
}

fn of(rows: &[SummaryRow]) -> ChangedBlocks {
    let mut changed = ChangedBlocks::default();
    rows.iter().for_each(|row| changed.add(row));
    changed
}

fn blocks(count: u32) -> u64 {
    u64::from(count) * u64::from(PAGE)
}

/// Of a file that has as many blocks as it had.
fn steady(changed: &ChangedBlocks, name: &str, count: u32) -> FileChanges {
    changed.of(&path(name), blocks(count), blocks(count), PAGE)
}

fn none() -> FileChanges {
    FileChanges::Ranges(Vec::new())
}

#[test]
fn each_fork_and_segment_has_its_own_blocks() {
    let changed = of(&[
        row(7, 0, 3, false),
        row(7, 0, 4, false),
        row(7, 0, SEGMENT + 9, false),
        row(7, 2, 1, false),
    ]);
    assert_eq!(steady(&changed, "base/5/7", SEGMENT), FileChanges::Ranges(vec![3..5]));
    assert_eq!(steady(&changed, "base/5/7.1", 100), FileChanges::Ranges(vec![9..10]));
    assert_eq!(steady(&changed, "base/5/7.2", 100), none());
    assert_eq!(steady(&changed, "base/5/7_vm", 2), FileChanges::Ranges(vec![1..2]));
    assert_eq!(steady(&changed, "base/5/7_init", 2), none());
    assert_eq!(steady(&changed, "base/5/8", 20), none());
    assert_eq!(steady(&changed, "base/6/7", 20), none());
    assert_eq!(steady(&changed, "pg_tblspc/1663/PG_17_1/4/7", 20), none());
    assert_eq!(steady(&changed, "global/7", 20), none());
}

#[test]
fn what_was_cut_off_counts_as_changed_beyond() {
    let changed =
        of(&[row(7, 0, 30, false), row(7, 0, 5, false), row(7, 0, 20, true), row(7, 0, 60, true)]);
    assert_eq!(steady(&changed, "base/5/7", 40), FileChanges::Ranges(vec![5..6, 20..40]));
    assert_eq!(steady(&changed, "base/5/7", 10), FileChanges::Ranges(vec![5..6]));
    // The next file of the relation lies beyond the cut as a whole.
    assert_eq!(steady(&changed, "base/5/7.1", 40), FileChanges::All);
    assert_eq!(steady(&of(&[row(7, 0, 0, true)]), "base/5/7", 40), FileChanges::All);
}

#[test]
fn what_the_prior_did_not_have_counts_as_changed() {
    let changed = of(&[row(7, 0, 2, false)]);
    let grown = changed.of(&path("base/5/7"), blocks(20), blocks(10) + 100, PAGE);
    assert_eq!(grown, FileChanges::Ranges(vec![2..3, 10..20]));
    let second = changed.of(&path("base/5/7.1"), blocks(20), blocks(15), PAGE);
    assert_eq!(second, FileChanges::Ranges(vec![15..20]));
    let shrunk = changed.of(&path("base/5/7"), blocks(10), blocks(20), PAGE);
    assert_eq!(shrunk, FileChanges::Ranges(vec![2..3]));
    assert_eq!(changed.of(&path("base/5/7"), blocks(20), 0, PAGE), FileChanges::All);
}

#[test]
fn a_copied_database_is_changed_as_a_whole() {
    let mut copied = row(0, 0, 0, true);
    copied.tablespace = Oid(16401);
    let changed = of(&[copied, row(7, 0, 1, false)]);
    assert_eq!(steady(&changed, "pg_tblspc/16401/PG_17_1/5/7", 40), FileChanges::All);
    assert_eq!(steady(&changed, "pg_tblspc/16401/PG_17_1/5/7_vm", 40), FileChanges::All);
    assert_eq!(steady(&changed, "pg_tblspc/16401/PG_17_1/6/7", 40), none());
    assert_eq!(steady(&changed, "base/5/7", 40), FileChanges::Ranges(vec![1..2]));
}

#[test]
fn what_the_wal_does_not_tell_is_read_whole() {
    let changed = ChangedBlocks::default();
    let all = |name: &str, size| {
        assert_eq!(changed.of(&path(name), size, size, PAGE), FileChanges::All, "{name}");
    };
    for name in
        ["base/5/7_fsm", "base/5/PG_VERSION", "global/pg_control", "base/5/t3_7", "pg_xact/0"]
    {
        all(name, blocks(10));
    }
    all("base/5/7", 0);
    all("base/5/7", blocks(10) + 1);
    all("base/5/7", blocks(SEGMENT + 1));
    all("base/5/7.4000000000", blocks(1));
    assert_eq!(changed.of(&path("base/5/7"), 8192, 8192, 0), FileChanges::All);
    assert_eq!(steady(&changed, "base/5/7.32766", SEGMENT), none());
    // Forks of a later version are no files that we would leave unread.
    assert_eq!(steady(&of(&[row(7, 9, 1, false)]), "base/5/7_new", 10), FileChanges::All);
}

#[test]
fn nearly_all_is_all() {
    let rows: Vec<SummaryRow> = (0..91).map(|block| row(7, 0, block, false)).collect();
    assert_eq!(steady(&of(&rows), "base/5/7", 100), FileChanges::All);
    assert_eq!(steady(&of(&rows[..90]), "base/5/7", 100), FileChanges::Ranges(vec![0..90]));
}

/// Blocks around the places where something ends.
fn any_block() -> impl Strategy<Value = u32> {
    let edges = [0, 65_536, SEGMENT, 2 * SEGMENT, u32::MAX - 200];
    (prop::sample::select(edges.to_vec()), 0_u32..200)
        .prop_map(|(edge, offset)| edge.saturating_add(offset).saturating_sub(100))
}

proptest! {
    #[test]
    fn ranges_are_what_a_set_says(
        rows in prop::collection::vec((any_block(), prop::bool::weighted(0.05)), 0..300),
        segment in prop::sample::select(vec![0_u32, 1, 2, 32767]),
        count in prop_oneof![1_u32..300, SEGMENT - 200..=SEGMENT, 65_400_u32..65_700],
        prior in prop_oneof![0_u32..300, SEGMENT - 200..=SEGMENT, 65_400_u32..65_700],
    ) {
        let rows: Vec<SummaryRow> =
            rows.into_iter().map(|(block, is_limit)| row(7, 0, block, is_limit)).collect();
        let name = if segment == 0 { "base/5/7".to_owned() } else { format!("base/5/7.{segment}") };
        let changed = of(&rows).of(&path(&name), blocks(count), blocks(prior), PAGE);

        let marked: BTreeSet<u32> = rows.iter().filter(|r| !r.is_limit).map(|r| r.block).collect();
        let limit = rows.iter().filter(|r| r.is_limit).map(|r| r.block).min();
        let Some(first) = segment.checked_mul(SEGMENT) else { unreachable!() };
        let differs = |at: &u32| {
            at >= &prior
                || marked.contains(&(first + at))
                || limit.is_some_and(|limit| first + at >= limit)
        };
        let expected: Vec<u32> = match first.checked_add(count) {
            Some(_) => (0..count).filter(differs).collect(),
            None => (0..count).collect(),
        };
        match changed {
            FileChanges::All => prop_assert!(expected.len() as u64 * 10 > u64::from(count) * 9),
            FileChanges::Ranges(ranges) => {
                prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
                prop_assert_eq!(ranges.into_iter().flatten().collect::<Vec<_>>(), expected);
            }
        }
    }
}
