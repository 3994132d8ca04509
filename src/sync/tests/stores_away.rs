//! A repository that stops answering ends the copy soon: each of its requests was tried until a deadline already.

use super::*;
use crate::storage::EntryKind;

/// A pair with so much WAL that asking for all of it would take for ever.
async fn with_much_wal() -> Pair {
    let pair = Pair::new().await;
    for number in 5..30 {
        archive(&*pair.from, number, number as u8).await;
    }
    pair
}

async fn archived(pair: &Pair) -> usize {
    let directory = ObjectPath::new("archive/demo").unwrap();
    let entries = pair.to.list(&directory, true).await.unwrap();
    let objects = |kind| matches!(kind, EntryKind::Object { .. });
    entries.iter().filter(|entry| objects(entry.kind)).count()
}

/// A fault that would end after some objects, if the copy came that far.
fn for_some(operation: Operation) -> Rule {
    Rule::always(operation, Fault::Fail(ErrorKind::Transient)).on("archive/demo").at(0, 10)
}

#[tokio::test]
async fn a_target_that_is_away_is_not_tried_with_every_segment() {
    let pair = with_much_wal().await;
    pair.to.add(for_some(Operation::Finish));
    let error = pair.sync(&options()).await.unwrap_err();
    assert!(matches!(error, Error::Target(_)), "{error}");
    assert_eq!(archived(&pair).await, 0);
}

#[tokio::test]
async fn a_source_that_is_away_is_not_tried_with_every_segment() {
    let pair = with_much_wal().await;
    pair.from.add(for_some(Operation::Get));
    let error = pair.sync(&options()).await.unwrap_err();
    assert!(error.to_string().contains("archive/demo"), "{error}");
    assert_eq!(archived(&pair).await, 0);
}

#[tokio::test]
async fn one_object_that_does_not_come_keeps_no_other_from_it() {
    let pair = with_much_wal().await;
    pair.from.add(for_some(Operation::Get).at(0, 1));
    let outcome = pair.sync(&options()).await.unwrap();
    // Its backups wait for it, where it is theirs.
    assert_eq!((outcome.wal_files, archived(&pair).await), (25, 25));
}
