use super::*;
use crate::{
    command::testing::{self, manifest, repo_with_stanza, stanza_name},
    repo::retention::Settings,
    storage::ObjectPath,
};

const OLD: [&str; 2] = ["20260101-000000F", "20260101-000000F_20260103-000000I"];
const NEW: &str = "20260201-000000F";
const DIGEST: &str = "00000000000000000000000000000000000000000000000000000000000000ab";

async fn publish(repo: &Repo, label: &str, references: &[&str], segment: u32) {
    let mut manifest = manifest(label, references);
    manifest.wal.start.lsn = format!("0/{segment:X}000028").parse().unwrap();
    manifest.wal.stop.lsn = format!("0/{:X}000100", segment + 1).parse().unwrap();
    testing::publish(repo, &manifest).await;
    let name = format!("000000010000000000{segment:06X}-{DIGEST}.zst");
    let path = ObjectPath::new(format!("archive/demo/15-1/0000000100000000/{name}")).unwrap();
    repo.storage.put(&path, "pgstrata".into()).await.unwrap();
}

async fn names(repo: &Repo) -> Vec<String> {
    let entries = repo.storage.list(&ObjectPath::root(), true).await.unwrap();
    entries.iter().map(|entry| entry.path.as_str().to_owned()).collect()
}

#[tokio::test]
async fn a_dry_run_says_what_goes_and_removes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let repo = repo_with_stanza(dir.path(), 1).await;
    publish(&repo, OLD[0], &[], 4).await;
    publish(&repo, OLD[1], &[OLD[0]], 5).await;
    publish(&repo, NEW, &[], 10).await;
    let before = names(&repo).await;
    let mut out = Vec::new();
    let options = ExpireOptions {
        storage: repo.storage.clone(),
        stanza: stanza_name(),
        settings: Settings { full: Some(1), ..Settings::default() },
        scope: Scope::Retention,
    };
    show(&repo, &options, &mut out).await.unwrap();
    assert_eq!(names(&repo).await, before);
    let text = String::from_utf8(out).unwrap();
    let expected = format!(
        "repo1: expire incr backup {}, SIZE\n\
         repo1: expire full backup {}, SIZE\n\
         repo1: 15-1 remove archive, start = 000000010000000000000004, stop = 000000010000000000000005, 2 segments\n\
         repo1: keep backup {NEW}: retention\n",
        OLD[1], OLD[0]
    );
    let sizes = regex::Regex::new(r"[\d.]+ ?[KMG]?i?B").unwrap();
    assert_eq!(sizes.replace_all(&text, "SIZE"), expected);
}
