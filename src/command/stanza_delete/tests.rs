//! Deleting from real directories.

use super::*;
use crate::{
    command::testing::{cluster, manifest, repo_with_stanza, stanza_name},
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
        "archive/demo/15-1/0000000100000000/000000010000000000000001-x",
    ] {
        repo.storage.put(&ObjectPath::new(path).unwrap(), "x".into()).await.unwrap();
    }
    repo
}

fn texts(paths: &[ObjectPath]) -> Vec<&str> {
    paths.iter().map(ObjectPath::as_str).collect()
}

#[tokio::test]
async fn manifests_go_first_and_dependent_backups_before_their_parents() {
    let dir = tempfile::tempdir().unwrap();
    let repo = filled(dir.path()).await;
    let plan = DeletePlan::make(&*repo.storage, &stanza_name()).await.unwrap();
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
    let plan = DeletePlan::make(&*repo.storage, &stanza_name()).await.unwrap();
    plan.execute(&*repo.storage).await.unwrap();
    let left = objects(&*repo.storage, &ObjectPath::root()).await.unwrap();
    assert_eq!(texts(&left), ["stanza/demo2/00000001"]);
    assert!(StanzaHistory::read(&*repo.storage, &other).await.is_ok());
    let again = DeletePlan::make(&*repo.storage, &stanza_name()).await.unwrap();
    assert_eq!(again, DeletePlan::default());
}

#[test]
fn only_a_stop_of_the_stanza_itself_allows_it() {
    let dir = tempfile::tempdir().unwrap();
    lock::stop(dir.path(), None).unwrap();
    let refused = require_stopped(dir.path(), &stanza_name()).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::FileMissing);
    lock::stop(dir.path(), Some(&stanza_name())).unwrap();
    require_stopped(dir.path(), &stanza_name()).unwrap();
}
