//! What is in the target already, and what others do there while a backup is copied.

use super::*;
use crate::{
    repo::{started::Started, writer::Writer},
    storage::EntryKind,
    types::{ErrorCode, Failure, Sha256},
};

fn paths(label: &str) -> BackupPaths {
    BackupPaths::new(&stanza_name(), &label.parse().unwrap()).unwrap()
}

fn object(path: &str) -> ObjectPath {
    ObjectPath::new(path.to_owned()).unwrap()
}

fn notice(copies: Option<Sha256>) -> Started {
    let writer = Writer::named("other", 1);
    Started { writer, time: 7, references: Vec::new(), copies, nonce: None }
}

/// The stanza is in the target too.
async fn with_stanza(pair: &Pair) {
    stanza::create(&*pair.to, &stanza_name(), cluster(7), None).await.unwrap();
}

async fn copy_of(pair: &Pair, label: &str) -> Started {
    let label = label.parse().unwrap();
    let manifest = Manifest::read(&*pair.from, &stanza_name(), &label).await.unwrap();
    notice(Some(manifest.file_list.sha256))
}

/// Puts an object of the source's size and of other bytes into the target.
async fn foreign_bundle(pair: &Pair) -> ObjectPath {
    let path = paths(FULL).map(1).unwrap();
    let size = bytes_of(pair, &path).await.len();
    pair.to.put(&path, vec![b'?'; size].into()).await.unwrap();
    path
}

/// An object of the source.
async fn bytes_of(pair: &Pair, path: &ObjectPath) -> Bytes {
    match pair.from.stat(path).await.unwrap().kind {
        EntryKind::Object { size } => pair.from.get_range(path, 0..size).await.unwrap(),
        EntryKind::Directory => panic!("{path} is a directory"),
    }
}

/// Two backups that begin in one second on two repositories have one label, and the second may have been interrupted. Its
/// block maps are as long as those of the first, and keyed otherwise.
#[tokio::test]
async fn what_another_backup_left_under_the_label_is_never_taken_for_the_copy() {
    let pair = Pair::new().await;
    publish(&*pair.from, NEXT, &[]).await;
    with_stanza(&pair).await;
    let path = foreign_bundle(&pair).await;
    let errors = pair.errors().await;
    assert!(
        errors[0].contains(path.as_str()) && errors[0].contains("different content"),
        "{errors:?}"
    );
    assert!(errors[1].contains(&format!("needs {FULL}")), "{errors:?}");
    assert_eq!(pair.labels().await, [NEXT]);
    assert!(Started::read_opt(&*pair.to, &paths(FULL)).await.unwrap().is_none());
    pair.to.delete(&[path]).await.unwrap();
    assert!(pair.errors().await.is_empty());
    assert_eq!(pair.labels().await, [FULL, DIFF, NEXT]);
    pair.assert_whole().await;
}

#[tokio::test]
async fn a_backup_that_is_being_made_in_the_target_keeps_its_label() {
    let pair = Pair::new().await;
    with_stanza(&pair).await;
    let theirs = notice(None);
    theirs.write(&*pair.to, &paths(FULL)).await.unwrap();
    let outcome = pair.sync(&options()).await.unwrap();
    let error = &outcome.failed[0].error;
    assert!(matches!(error, Error::Taken { host, .. } if host == "other"), "{error}");
    assert_eq!(error.code(), ErrorCode::FileExists);
    assert_eq!(Started::read(&*pair.to, &paths(FULL)).await.unwrap(), theirs);
    assert!(pair.labels().await.is_empty());
}

#[tokio::test]
async fn a_copy_that_was_cut_short_is_gone_on_with_under_a_notice_of_the_living() {
    let pair = Pair::new().await;
    with_stanza(&pair).await;
    copy_of(&pair, FULL).await.write(&*pair.to, &paths(FULL)).await.unwrap();
    let bundle = paths(FULL).bundle(1).unwrap();
    pair.to.put(&bundle, bytes_of(&pair, &bundle).await).await.unwrap();
    // It was proven when it was made: it is neither read nor written.
    for operation in [Operation::Get, Operation::Put] {
        let rule = Rule::always(operation, Fault::Fail(ErrorKind::Denied));
        pair.to.add(rule.on(bundle.as_str()));
    }
    let outcome = pair.sync(&options()).await.unwrap();
    assert!(outcome.failed.is_empty(), "{:?}", outcome.failed);
    assert_eq!(outcome.backups[0].objects, 4);
    let notice = Started::read(&*pair.to, &paths(FULL)).await.unwrap();
    assert_eq!((notice.writer.process, notice.copies.is_some()), (std::process::id(), true));
    pair.to.clear();
    pair.assert_whole().await;
}

/// An expire on another host that takes the copy for an interrupted backup removes its notice first.
#[tokio::test]
async fn a_copy_that_expire_took_away_is_not_published() {
    let manifest = format!("{FULL}/manifest");
    let cases = [
        // Before the manifest, and in the moment in which it is written.
        (Operation::Put, format!("{FULL}/files"), paths(FULL).started().unwrap()),
        (Operation::Put, manifest.clone(), paths(FULL).started().unwrap()),
        (Operation::Put, format!("{FULL}/files"), paths(FULL).bundle(1).unwrap()),
    ];
    for (operation, at, lost) in cases {
        let pair = Pair::new().await;
        pair.to.add(Rule::always(operation, Fault::Lose(lost.clone())).on(&at).at(0, 1));
        let errors = pair.errors().await;
        assert!(errors[0].contains("was removed from the target"), "{at} {lost}: {errors:?}");
        assert!(pair.labels().await.is_empty(), "{at} {lost}");
        assert!(pair.to.stat(&object(&format!("backup/demo/{manifest}"))).await.is_err());
        assert!(pair.errors().await.is_empty());
        assert_eq!(pair.labels().await, [FULL, DIFF]);
        pair.assert_whole().await;
    }
}

#[tokio::test]
async fn a_backup_whose_parent_goes_in_the_last_moment_is_not_published() {
    let pair = Pair::new().await;
    let parent = paths(FULL).manifest().unwrap();
    let at = format!("{DIFF}/manifest");
    pair.to.add(Rule::always(Operation::Put, Fault::Lose(parent)).on(&at).at(0, 1));
    let errors = pair.errors().await;
    assert!(errors[0].contains(&format!("needs {FULL}")), "{errors:?}");
    assert!(pair.labels().await.is_empty());
}

#[tokio::test]
async fn a_backup_without_its_wal_in_the_target_is_not_published() {
    let (path, _) = segment(4, 4);
    // The source lost it; expire of the target removes it before the backup is there.
    let pair = Pair::new().await;
    pair.from.delete(std::slice::from_ref(&path)).await.unwrap();
    let errors = pair.errors().await;
    assert!(errors[0].contains("needs 000000010000000000000004"), "{errors:?}");
    assert!(pair.labels().await.is_empty());
    archive(&*pair.from, 4, 4).await;
    let at = format!("{FULL}/started");
    pair.to.add(Rule::always(Operation::Put, Fault::Lose(path)).on(&at).at(0, 1));
    assert!(pair.errors().await[0].contains("needs 000000010000000000000004"));
    assert!(pair.errors().await.is_empty());
    assert_eq!(pair.labels().await, [FULL, DIFF]);
}

#[tokio::test]
async fn wal_that_differs_keeps_the_backups_that_need_it_from_being_published() {
    let pair = Pair::new().await;
    let theirs = archive(&*pair.to, 4, 99).await;
    with_stanza(&pair).await;
    archive(&*pair.from, 5, 5).await;
    let errors = pair.errors().await;
    assert!(errors[0].contains("with different content"), "{errors:?}");
    assert!(errors[1].contains("needs 000000010000000000000004"), "{errors:?}");
    assert!(pair.labels().await.is_empty());
    assert!(pair.to.stat(&theirs).await.is_ok());
    assert!(pair.to.stat(&segment(4, 4).0).await.is_err());
    assert!(pair.to.stat(&segment(5, 5).0).await.is_ok(), "the rest is copied");
}

#[tokio::test]
async fn two_contents_of_one_segment_are_named_and_neither_is_copied() {
    let pair = Pair::new().await;
    archive(&*pair.from, 4, 99).await;
    archive(&*pair.from, 5, 5).await;
    let outcome = pair.sync(&options()).await.unwrap();
    assert_eq!(outcome.failed[0].error.code(), ErrorCode::ArchiveDuplicate);
    assert!(pair.to.stat(&segment(4, 4).0).await.is_err());
    assert!(pair.to.stat(&segment(4, 99).0).await.is_err());
    assert_eq!(outcome.wal_files, 1);
    assert!(pair.labels().await.is_empty());
}

/// The server archives into both repositories while the copy is under way, and two may copy the same.
#[tokio::test]
async fn what_comes_by_itself_meanwhile_is_fine() {
    let pair = Pair::new().await;
    let taken = |operation| Rule::always(operation, Fault::FailAfter(ErrorKind::AlreadyExists));
    pair.to.add(taken(Operation::Finish));
    for object in ["stanza/", "/started", "/manifest"] {
        pair.to.add(taken(Operation::Put).on(object));
    }
    let errors = pair.errors().await;
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(pair.labels().await, [FULL, DIFF]);
    pair.to.clear();
    pair.assert_whole().await;
}

#[tokio::test]
async fn a_remark_that_is_damaged_is_named_and_the_backup_is_copied() {
    let pair = Pair::new().await;
    let mark = Some(KeepMark { until: None });
    keep::write(&*pair.from, &paths(FULL), mark).await.unwrap();
    let path = format!("{FULL}/keep/00000001");
    pair.from.add(Rule::always(Operation::Read, Fault::FlipRead(20)).on(&path));
    let errors = pair.errors().await;
    // And its copy.
    assert!(errors.len() == 2 && errors.iter().all(|e| e.contains(&path)), "{errors:?}");
    assert_eq!(pair.labels().await, [FULL, DIFF]);
    pair.from.clear();
    assert_eq!(pair.sync(&options()).await.unwrap().changes, 1);
    assert_eq!(keep::read(&*pair.to, &paths(FULL)).await.unwrap(), mark);
}

/// One of the two objects of a mark is enough.
#[tokio::test]
async fn a_mark_of_which_one_object_is_lost_is_copied_whole() {
    let pair = Pair::new().await;
    let mark = Some(KeepMark { until: None });
    keep::write(&*pair.from, &paths(FULL), mark).await.unwrap();
    let copy = paths(FULL).keep().unwrap().join("00000001.copy").unwrap();
    pair.from.add(Rule::always(Operation::Read, Fault::FlipRead(20)).on(copy.as_str()));
    assert!(pair.errors().await.is_empty());
    assert_eq!(keep::read(&*pair.to, &paths(FULL)).await.unwrap(), mark);
    assert_eq!(pair.to.list(&paths(FULL).keep().unwrap(), false).await.unwrap().len(), 2);
}

/// Regression: when repo-sync was interrupted between the two objects of a mark, the second one was never copied.
#[tokio::test]
async fn the_second_object_of_a_mark_is_brought_after_the_first() {
    let pair = Pair::new().await;
    let mark = Some(KeepMark { until: None });
    keep::write(&*pair.from, &paths(FULL), mark).await.unwrap();
    pair.sync(&options()).await.unwrap();
    let directory = paths(FULL).keep().unwrap();
    for name in ["00000001.copy", "00000001"] {
        pair.to.delete(&[directory.join(name).unwrap()]).await.unwrap();
        let outcome = pair.sync(&options()).await.unwrap();
        assert!(outcome.failed.is_empty() && outcome.changes == 1, "{outcome:?}");
        assert_eq!(pair.to.list(&directory, false).await.unwrap().len(), 2, "{name}");
        assert_eq!(pair.sync(&options()).await.unwrap().changes, 0);
    }
    // What the target says itself is not mixed with what the source says.
    keep::write(&*pair.from, &paths(FULL), None).await.unwrap();
    keep::write(&*pair.to, &paths(FULL), Some(KeepMark { until: Some(7) })).await.unwrap();
    pair.to.delete(&[directory.join("00000002.copy").unwrap()]).await.unwrap();
    assert_eq!(pair.sync(&options()).await.unwrap().changes, 0);
    assert_eq!(pair.to.list(&directory, false).await.unwrap().len(), 3);
}

#[tokio::test]
async fn damage_in_the_target_is_named_and_the_rest_is_copied() {
    let pair = Pair::new().await;
    pair.sync(&options()).await.unwrap();
    publish(&*pair.from, NEXT, &[]).await;
    keep::write(&*pair.to, &paths(DIFF), None).await.unwrap();
    for path in [format!("{FULL}/manifest"), format!("{DIFF}/keep/00000001")] {
        pair.to.add(Rule::always(Operation::Read, Fault::FlipRead(20)).on(&path));
    }
    let outcome = pair.sync(&options()).await.unwrap();
    let errors: Vec<String> = outcome.failed.iter().map(|f| f.error.to_string()).collect();
    assert!(errors.iter().any(|error| error.contains(&format!("{FULL}/manifest"))), "{errors:?}");
    assert!(errors.iter().any(|error| error.contains(&format!("{DIFF}/keep"))), "{errors:?}");
    assert_eq!(outcome.skipped[0].reason, SkipReason::Unreadable);
    let labels: Vec<_> = outcome.backups.iter().map(|copied| copied.label.to_string()).collect();
    assert_eq!(labels, [NEXT]);
}
