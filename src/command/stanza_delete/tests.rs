//! Deleting from real directories.

use std::path::Path;

use super::*;
use crate::{
    command::testing::{self, cluster, manifest, repo_with_stanza, stanza_name},
    repo::stanza::{self, StanzaHistory},
    types::Failure,
};

const FULL: &str = "20261121-092452F";
const DIFF: &str = "20261121-092452F_20261121-092455D";

async fn filled(root: &Path) -> Repo {
    let repo = repo_with_stanza(root, 1).await;
    for (label, references) in [(FULL, &[] as &[&str]), (DIFF, &[FULL])] {
        manifest(label, references).publish(&*repo.storage).await.unwrap();
    }
    for path in [
        "backup/demo/20261121-092452F/bundle/00000001",
        "backup/demo/20260101-000000F/bundle/00000001",
        &format!("archive/demo/15-1/0000000100000000/000000010000000000000001-{}", "ab".repeat(32)),
    ] {
        put(&repo, path, "pgstrata").await;
    }
    repo
}

async fn put(repo: &Repo, path: &str, content: &'static str) {
    repo.storage.put(&ObjectPath::new(path).unwrap(), content.into()).await.unwrap();
}

fn texts(paths: &[ObjectPath]) -> Vec<&str> {
    paths.iter().map(ObjectPath::as_str).collect()
}

#[tokio::test]
async fn manifests_go_first_and_dependent_backups_before_their_parents() {
    let dir = tempfile::tempdir().unwrap();
    let repo = filled(dir.path()).await;
    let plan = DeletePlan::make(&repo.storage, &stanza_name()).await.unwrap();
    let manifest = |label| format!("backup/demo/{label}/manifest");
    assert_eq!(texts(&plan.manifests), [manifest(DIFF), manifest(FULL)]);
    assert_eq!(texts(&plan.history), ["stanza/demo/00000001"]);
    assert_eq!(plan.data.len(), 3);
}

#[tokio::test]
async fn everything_of_the_stanza_goes_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let repo = filled(dir.path()).await;
    let other: StanzaName = "demo2".parse().unwrap();
    stanza::create(&*repo.storage, &other, cluster(9), None).await.unwrap();
    let plan = DeletePlan::make(&repo.storage, &stanza_name()).await.unwrap();
    plan.execute(&*repo.storage).await.unwrap();
    let left = objects(&*repo.storage, &ObjectPath::root()).await.unwrap();
    assert_eq!(texts(&left), ["stanza/demo2/00000001"]);
    assert!(StanzaHistory::read(&*repo.storage, &other).await.is_ok());
    let again = DeletePlan::make(&repo.storage, &stanza_name()).await.unwrap();
    assert_eq!(again, DeletePlan::default());
}

#[test]
fn only_a_stop_of_the_stanza_itself_allows_it() {
    let dir = tempfile::tempdir().unwrap();
    let lock_path = &LockPath::at(dir.path());
    lock::stop(lock_path, None).unwrap();
    let refused = require_stopped(lock_path, &stanza_name()).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::FileMissing);
    lock::stop(lock_path, Some(&stanza_name())).unwrap();
    require_stopped(lock_path, &stanza_name()).unwrap();
}

#[tokio::test]
async fn a_repository_of_pgbackrest_is_not_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let repo = filled(dir.path()).await;
    for path in ["backup/demo/backup.info", "archive/demo/archive.info.copy"] {
        put(&repo, path, "[backrest]\n").await;
        let refused = DeletePlan::make(&repo.storage, &stanza_name()).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::RepoInvalid);
        repo.storage.delete(&[ObjectPath::new(path).unwrap()]).await.unwrap();
    }
    put(&repo, "backup/old/backup.info", "Salted__").await;
    let nothing = testing::repo(dir.path(), 1);
    let refused = refuse_others(&nothing, &"none".parse().unwrap(), &[]).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::RepoInvalid);
}

#[tokio::test]
async fn files_of_others_stay_and_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let repo = filled(dir.path()).await;
    let others = [
        "archive/demo/15-1/00000002.history",
        "backup/demo/20261121-092452F/backup.manifest",
        "backup/demo/20261121-092452F/bundle/1",
        "backup/demo/notes",
        "stanza/demo/readme",
    ];
    for path in others {
        put(&repo, path, "somebody's").await;
    }
    put(&repo, "backup/demo/20261121-092452F/future", "pgstrata of later").await;
    let plan = DeletePlan::make(&repo.storage, &stanza_name()).await.unwrap();
    assert_eq!(plan.others.len(), others.len());
    plan.execute(&*repo.storage).await.unwrap();
    let left = objects(&*repo.storage, &ObjectPath::root()).await.unwrap();
    assert_eq!(texts(&left), others);
}

#[tokio::test]
async fn names_like_ours_without_a_byte_of_ours_are_not_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let repo = testing::repo(dir.path(), 1);
    put(&repo, "backup/demo/20261121-092452F/manifest", "somebody's").await;
    put(&repo, "backup/demo/20261121-092452F/files", "").await;
    let plan = DeletePlan::make(&repo.storage, &stanza_name()).await.unwrap();
    assert_eq!((plan.count(), plan.others.len()), (0, 2));
    let refused = refuse_others(&repo, &stanza_name(), &plan.others).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::PathNotEmpty);
}
