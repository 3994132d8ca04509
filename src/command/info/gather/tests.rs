//! From a repository to what is shown.

use std::{path::Path, sync::Arc};

use super::*;
use crate::{
    command::{
        info::assemble::assemble,
        testing::{self, cluster, manifest, repo, repo_with_stanza, stanza_name},
    },
    repo::{lock::Lock, stanza},
    storage::fault::{Fault, FaultyStorage, Operation, Rule},
    ui::info::{StanzaInfo, StatusCode},
};

const FULL: &str = "20261121-092452F";
const DIFF: &str = "20261121-092452F_20261121-092455D";

fn query(lock_path: &Path) -> Query {
    let (stanza, lock_path) = (Some(stanza_name()), LockPath::at(lock_path));
    Query { stanza, lock_path, detail: Detail::Full, set: None, kind: None }
}

async fn show(repos: &[Repo], query: &Query) -> Vec<StanzaInfo> {
    gather(repos, &Closed::new(), query).await.iter().map(|found| assemble(found, query)).collect()
}

async fn publish(repo: &Repo, label: &str, references: &[&str]) {
    testing::publish(repo, &manifest(label, references)).await;
}

fn codes(info: &StanzaInfo) -> Vec<StatusCode> {
    info.repo.iter().map(|repo| repo.status.code).collect()
}

#[tokio::test]
async fn the_status_follows_the_life_of_a_stanza() {
    let dir = tempfile::tempdir().unwrap();
    let query = query(&dir.path().join("lock"));
    let repos = [repo(&dir.path().join("repo"), 1)];
    assert_eq!(show(&repos, &query).await[0].status.code, StatusCode::MissingStanzaPath);
    publish(&repos[0], FULL, &[]).await;
    assert_eq!(show(&repos, &query).await[0].status.code, StatusCode::MissingStanzaData);
    stanza::create(&*repos[0].storage, &stanza_name(), cluster(7), None).await.unwrap();
    let info = &show(&repos, &query).await[0];
    assert_eq!((info.status.code, info.backup.len()), (StatusCode::Ok, 1));
    assert_eq!((info.archive.len(), info.archive[0].min), (1, None));
}

#[tokio::test]
async fn a_stanza_without_backup_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let repos = [repo_with_stanza(&dir.path().join("repo"), 1).await];
    let info = &show(&repos, &query(dir.path())).await[0];
    assert_eq!(info.status.code, StatusCode::NoBackup);
    assert_eq!(info.db.len(), 1);
}

#[tokio::test]
async fn a_damaged_manifest_is_shown_and_hides_no_other_backup() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("repo");
    let repos = [repo_with_stanza(&root, 1).await];
    publish(&repos[0], FULL, &[]).await;
    publish(&repos[0], DIFF, &[FULL]).await;
    let path = root.join("backup/demo").join(DIFF).join("manifest");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let info = &show(&repos, &query(dir.path())).await[0];
    assert_eq!(info.status.code, StatusCode::Other);
    let message = &info.repo[0].status.message;
    assert!(message.starts_with("[ChecksumError] '"), "{message}");
    assert!(message.contains(DIFF), "{message}");
    assert_eq!(info.backup.len(), 1);
}

#[tokio::test]
async fn repositories_that_differ_are_mixed_or_mismatched() {
    let dir = tempfile::tempdir().unwrap();
    let roots = [dir.path().join("1"), dir.path().join("2")];
    let repos = [repo_with_stanza(&roots[0], 1).await, repo(&roots[1], 2)];
    publish(&repos[0], FULL, &[]).await;
    let query = query(dir.path());
    let info = &show(&repos, &query).await[0];
    assert_eq!(info.status.code, StatusCode::Mixed);
    assert_eq!(codes(info), [StatusCode::Ok, StatusCode::MissingStanzaPath]);
    stanza::create(&*repos[1].storage, &stanza_name(), cluster(8), None).await.unwrap();
    let info = &show(&repos, &query).await[0];
    assert_eq!(info.status.code, StatusCode::DatabaseMismatch);
    assert_eq!(codes(info), [StatusCode::Ok, StatusCode::NoBackup]);
}

#[tokio::test]
async fn a_set_is_shown_with_its_details_or_reported_missing() {
    let dir = tempfile::tempdir().unwrap();
    let repos = [repo_with_stanza(&dir.path().join("repo"), 1).await];
    publish(&repos[0], FULL, &[]).await;
    publish(&repos[0], DIFF, &[FULL]).await;
    let set = |label: &str| Query {
        detail: Detail::Set,
        set: Some(label.parse().unwrap()),
        ..query(dir.path())
    };
    let info = &show(&repos, &set(DIFF)).await[0];
    assert_eq!(info.backup.len(), 1);
    let names: Vec<_> =
        info.backup[0].database_ref.iter().flatten().map(|db| db.name.as_str()).collect();
    assert_eq!(names, ["postgres"]);
    assert_eq!((&info.backup[0].link, &info.backup[0].tablespace), (&Some(None), &Some(None)));
    let info = &show(&repos, &set("20300101-000000F")).await[0];
    assert_eq!(info.status.code, StatusCode::BackupMissing);
    assert!(info.backup.is_empty() && info.db.is_empty() && info.archive.is_empty());
}

#[tokio::test]
async fn a_type_filters_the_backups() {
    let dir = tempfile::tempdir().unwrap();
    let repos = [repo_with_stanza(&dir.path().join("repo"), 1).await];
    publish(&repos[0], FULL, &[]).await;
    publish(&repos[0], DIFF, &[FULL]).await;
    let query = Query { kind: Some(crate::types::BackupType::Diff), ..query(dir.path()) };
    let info = &show(&repos, &query).await[0];
    let labels: Vec<_> = info.backup.iter().map(|backup| backup.label.as_str()).collect();
    assert_eq!((labels, info.status.code), (vec![DIFF], StatusCode::Ok));
}

#[tokio::test]
async fn annotations_that_changed_later_are_shown() {
    let dir = tempfile::tempdir().unwrap();
    let repos = [repo_with_stanza(&dir.path().join("repo"), 1).await];
    publish(&repos[0], FULL, &[]).await;
    let paths =
        crate::repo::layout::BackupPaths::new(&stanza_name(), &FULL.parse().unwrap()).unwrap();
    let change = annotation::Change { set: [("k".to_owned(), "v".to_owned())].into() };
    annotation::add(&*repos[0].storage, &paths, &change).await.unwrap();
    let info = &show(&repos, &query(dir.path())).await[0];
    assert_eq!(info.backup[0].annotation.get("k").map(String::as_str), Some("v"));
}

#[tokio::test]
async fn a_mark_is_shown_as_long_as_it_holds() {
    use crate::repo::keep::{self, KeepMark};
    let dir = tempfile::tempdir().unwrap();
    let repos = [repo_with_stanza(&dir.path().join("repo"), 1).await];
    publish(&repos[0], FULL, &[]).await;
    let paths =
        crate::repo::layout::BackupPaths::new(&stanza_name(), &FULL.parse().unwrap()).unwrap();
    for (until, shown) in [(None, true), (Some(1), false), (Some(i64::MAX), true)] {
        keep::write(&*repos[0].storage, &paths, Some(KeepMark { until })).await.unwrap();
        let info = &show(&repos, &query(dir.path())).await[0];
        assert_eq!(info.backup[0].keep.is_some(), shown, "{until:?}");
    }
}

#[tokio::test]
async fn a_running_backup_is_shown_with_its_progress() {
    let dir = tempfile::tempdir().unwrap();
    let roots = [dir.path().join("1"), dir.path().join("2")];
    let repos = [repo_with_stanza(&roots[0], 1).await, repo_with_stanza(&roots[1], 2).await];
    let query = query(&dir.path().join("lock"));
    let kind = LockKind::Backup { repo: 2 };
    let mut lock = Lock::acquire(&query.lock_path, &stanza_name(), kind, "backup").unwrap();
    let seen = show(&repos, &query).await.swap_remove(0).status.lock;
    assert_eq!((seen.backup.held, seen.backup.size), (true, None));
    lock.progress(Some(100), 40).unwrap();
    let brief = Query { detail: Detail::Progress, ..query.clone() };
    for query in [&query, &brief] {
        let seen = show(&repos, query).await.swap_remove(0).status.lock;
        assert_eq!((seen.backup.size, seen.backup.size_cplt), (Some(100), Some(40)));
        assert_eq!((seen.backup.repo.len(), seen.backup.repo[0].key), (1, 2));
        assert!(!seen.restore.held);
    }
}

#[tokio::test]
async fn every_stanza_is_shown_where_none_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let repos = [repo_with_stanza(&dir.path().join("repo"), 1).await];
    let query = Query { stanza: None, ..query(dir.path()) };
    let other = "another".parse().unwrap();
    stanza::create(&*repos[0].storage, &other, cluster(9), None).await.unwrap();
    let names: Vec<String> = show(&repos, &query).await.into_iter().map(|i| i.name).collect();
    assert_eq!(names, ["another", "demo"]);
    assert!(show(&[repo(&dir.path().join("none"), 1)], &query).await.is_empty());
}

#[tokio::test]
async fn a_repository_that_cannot_be_read_is_shown_as_an_error() {
    let dir = tempfile::tempdir().unwrap();
    // A store follows no symbolic link below its root.
    std::os::unix::fs::symlink("/tmp", dir.path().join("stanza")).unwrap();
    let repos = [repo(dir.path(), 1)];
    let info = show(&repos, &Query { stanza: None, ..query(dir.path()) }).await;
    assert_eq!((info[0].name.as_str(), info[0].status.code), ("[invalid]", StatusCode::Other));
    assert!(info[0].repo[0].status.message.starts_with('['));
    let info = show(&repos, &query(dir.path())).await;
    assert_eq!((info[0].name.as_str(), info[0].status.code), ("demo", StatusCode::Other));
}

/// A store that does not respond is waited for once, when it is opened.
#[tokio::test]
async fn a_repository_that_did_not_open_is_asked_for_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let repos = [repo_with_stanza(&dir.path().join("1"), 1).await, repo(dir.path(), 2)];
    publish(&repos[0], FULL, &[]).await;
    let hangs = FaultyStorage::new(repos[1].storage.clone());
    for operation in [Operation::List, Operation::Get, Operation::Stat] {
        hangs.add(Rule::always(operation, Fault::Hang));
    }
    let repos = [repos[0].clone(), Repo { storage: Arc::new(hangs), ..repos[1].clone() }];
    let closed = Closed::from([(2, "[ServiceError] no answer".to_owned())]);
    for stanza in [Some(stanza_name()), None] {
        let query = Query { stanza, ..query(dir.path()) };
        let found = gather(&repos, &closed, &query).await;
        let info = assemble(&found[0], &query);
        assert_eq!(info.status.code, StatusCode::Mixed);
        assert_eq!(codes(&info), [StatusCode::Ok, StatusCode::Other]);
        assert_eq!(info.repo[1].status.message, "[ServiceError] no answer");
    }
}
