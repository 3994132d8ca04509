use std::path::Path;

use jiff::Timestamp;

use super::*;
use crate::{
    repo::{
        backup_list,
        keep::{self, KeepMark},
        layout::BackupPaths,
        manifest::Manifest,
        started::Started,
        testing::{self, manifest, stanza_name, storage_with_stanza},
        writer::Writer,
    },
    storage::{
        ErrorKind, ObjectPath,
        fault::{Fault, FaultyStorage, Operation, Rule},
    },
    types::{ErrorCode, Failure},
};

/// Labels of two chains.
const OLD: [&str; 3] =
    ["20260101-000000F", "20260101-000000F_20260102-000000D", "20260101-000000F_20260103-000000I"];
const NEW: &str = "20260201-000000F";
const DIGEST: &str = "00000000000000000000000000000000000000000000000000000000000000ab";

fn settings(full: u32) -> Settings {
    Settings { full: Some(full), ..Settings::default() }
}

async fn put(storage: &Arc<dyn Storage>, path: &str) {
    let path = ObjectPath::new(path.to_owned()).unwrap();
    storage.put(&path, "pgstrata".into()).await.unwrap();
}

/// Publishes a backup that starts at the segment of that number, with some data.
async fn publish(storage: &Arc<dyn Storage>, label: &str, references: &[&str], segment: u32) {
    let mut manifest = manifest(label, references);
    manifest.wal.start.lsn = format!("0/{:X}000028", segment).parse().unwrap();
    manifest.wal.stop.lsn = format!("0/{:X}000100", segment + 1).parse().unwrap();
    testing::publish(&**storage, &manifest).await;
}

async fn archive(storage: &Arc<dyn Storage>, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let name = format!("000000010000000000{number:06X}-{DIGEST}.zst");
        put(storage, &format!("archive/demo/15-1/0000000100000000/{name}")).await;
    }
}

/// A repository with two chains and their WAL.
async fn with_two_chains(root: &Path) -> Arc<dyn Storage> {
    let storage = storage_with_stanza(root).await;
    publish(&storage, OLD[0], &[], 4).await;
    publish(&storage, OLD[1], &[OLD[0]], 6).await;
    publish(&storage, OLD[2], &[OLD[0], OLD[1]], 8).await;
    publish(&storage, NEW, &[], 10).await;
    archive(&storage, 1..14).await;
    put(&storage, &format!("archive/demo/15-1/00000002.history-{DIGEST}.zst")).await;
    storage
}

fn options(storage: &Arc<dyn Storage>, settings: Settings, scope: Scope) -> ExpireOptions {
    ExpireOptions { storage: Arc::clone(storage), stanza: stanza_name(), settings, scope }
}

async fn run_expire(storage: &Arc<dyn Storage>, settings: Settings, scope: Scope) -> Result<()> {
    let options = options(storage, settings, scope);
    let job = prepare(&options).await?;
    execute(&options, &job).await?;
    match options.scope {
        Scope::Retention => sweep(&options).await.map(|_| ()),
        _ => Ok(()),
    }
}

/// The names of the objects below a directory.
async fn names(storage: &Arc<dyn Storage>, directory: &str) -> Vec<String> {
    let directory = match directory {
        "" => ObjectPath::root(),
        path => ObjectPath::new(path.to_owned()).unwrap(),
    };
    let entries = storage.list(&directory, true).await.unwrap();
    let objects = entries.iter().filter(|e| e.kind != crate::storage::EntryKind::Directory);
    objects.map(|entry| entry.path.as_str().to_owned()).collect()
}

async fn labels(storage: &Arc<dyn Storage>) -> Vec<String> {
    let listed = backup_list::manifests(storage, &stanza_name()).await.unwrap();
    listed.iter().map(|manifest| manifest.label.to_string()).collect()
}

/// The same repository, where an operation fails as `when` says.
fn faulty(
    storage: &Arc<dyn Storage>,
    when: impl Fn(Rule) -> Rule,
    operation: Operation,
) -> Arc<dyn Storage> {
    let storage = FaultyStorage::new(storage.clone());
    storage.add(when(Rule::always(operation, Fault::Fail(ErrorKind::Denied))));
    Arc::new(storage)
}

fn age(root: &Path, label: &str) {
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(25 * 3600);
    let mut todo = vec![root.join("backup/demo").join(label)];
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
        }
        std::fs::File::open(&path).unwrap().set_modified(long_ago).unwrap();
    }
}

#[tokio::test]
async fn a_chain_goes_with_its_wal_and_nothing_is_left_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let storage = with_two_chains(dir.path()).await;
    run_expire(&storage, settings(1), Scope::Retention).await.unwrap();
    assert_eq!(labels(&storage).await, [NEW]);
    let directories: Vec<_> = dir.path().join("backup/demo").read_dir().unwrap().collect();
    assert_eq!(directories.len(), 1, "{directories:?}");
    let archived = names(&storage, "archive").await;
    assert_eq!(archived.len(), 5, "four segments and the timeline history: {archived:?}");
    assert!(archived.iter().all(|name| !name.contains("000000000000000009-")));
}

#[tokio::test]
async fn an_unreadable_manifest_or_mark_stops_it_all() {
    let dir = tempfile::tempdir().unwrap();
    let storage = with_two_chains(dir.path()).await;
    let file = dir.path().join("backup/demo").join(OLD[1]).join("manifest");
    let intact = std::fs::read(&file).unwrap();
    std::fs::write(&file, &intact[..intact.len() - 1]).unwrap();
    let before = names(&storage, "").await;
    for scope in [Scope::Retention, Scope::Oldest, Scope::Set(NEW.parse().unwrap())] {
        let error = run_expire(&storage, settings(1), scope).await.unwrap_err();
        assert!(error.to_string().contains(OLD[1]), "{error}");
        assert_eq!(names(&storage, "").await, before);
    }
    std::fs::write(&file, &intact).unwrap();
    let paths = BackupPaths::new(&stanza_name(), &OLD[0].parse().unwrap()).unwrap();
    keep::write(&*storage, &paths, Some(KeepMark { until: None })).await.unwrap();
    for name in ["keep/00000001", "keep/00000001.copy"] {
        std::fs::write(dir.path().join("backup/demo").join(OLD[0]).join(name), "x").unwrap();
    }
    let error = run_expire(&storage, settings(1), Scope::Retention).await.unwrap_err();
    assert!(error.to_string().contains(OLD[0]), "{error}");
    assert_eq!(names(&storage, "").await.len(), before.len() + 2);
}

/// A write of a manifest that took effect after its backup had given up and removed its data.
#[tokio::test]
async fn a_manifest_without_data_is_no_backup_for_which_a_good_one_goes() {
    let dir = tempfile::tempdir().unwrap();
    let storage = with_two_chains(dir.path()).await;
    let ghost = "20260401-000000F";
    manifest(ghost, &[]).publish(&*storage).await.unwrap();
    let before = names(&storage, "").await;
    for scope in [Scope::Retention, Scope::Oldest, Scope::Set(OLD[0].parse().unwrap())] {
        let error = run_expire(&storage, settings(1), scope).await.unwrap_err();
        assert!(error.to_string().contains(ghost), "{error}");
        assert!(error.hint().unwrap().contains(&format!("expire --set={ghost}")));
        assert_eq!(names(&storage, "").await, before);
    }
    run_expire(&storage, settings(1), Scope::Set(ghost.parse().unwrap())).await.unwrap();
    assert_eq!(labels(&storage).await, [OLD[0], OLD[1], OLD[2], NEW]);
    run_expire(&storage, settings(1), Scope::Retention).await.unwrap();
    assert_eq!(labels(&storage).await, [NEW]);
}

/// Every object of a backup is looked for by its name, those of a chain too.
#[tokio::test]
async fn a_backup_that_lacks_any_object_stops_it_all() {
    let dir = tempfile::tempdir().unwrap();
    let storage = with_two_chains(dir.path()).await;
    for name in ["files", "backup_manifest", "bundle/00000001", "map/00000001"] {
        for label in [OLD[1], NEW] {
            let file = dir.path().join("backup/demo").join(label).join(name);
            let bytes = std::fs::read(&file).unwrap();
            std::fs::remove_file(&file).unwrap();
            let before = names(&storage, "").await;
            let error = run_expire(&storage, settings(1), Scope::Retention).await.unwrap_err();
            assert!(error.to_string().contains(&format!("{name} missing")), "{error}");
            assert_eq!(names(&storage, "").await, before);
            std::fs::write(&file, bytes).unwrap();
        }
    }
    run_expire(&storage, settings(1), Scope::Retention).await.unwrap();
    assert_eq!(labels(&storage).await, [NEW]);
}

#[tokio::test]
async fn a_failed_listing_removes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let storage = with_two_chains(dir.path()).await;
    let before = names(&storage, "").await;
    for nth in 0.. {
        let faulty = faulty(&storage, |rule| rule.at(nth, 1), Operation::List);
        match run_expire(&faulty, settings(1), Scope::Retention).await {
            Err(_) => assert_eq!(names(&storage, "").await, before, "listing {nth}"),
            Ok(()) => {
                assert!(nth > 5, "{nth}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn what_an_interrupted_backup_left_goes_after_a_day() {
    let dir = tempfile::tempdir().unwrap();
    let storage = with_two_chains(dir.path()).await;
    let label = "20260301-000000F";
    put(&storage, &format!("backup/demo/{label}/bundle/00000001")).await;
    let unfinished =
        dir.path().join("backup/demo").join(label).join("bundle/.tmp-0123456789abcdef");
    std::fs::write(&unfinished, "x").unwrap();
    run_expire(&storage, settings(9), Scope::Retention).await.unwrap();
    assert_eq!(names(&storage, &format!("backup/demo/{label}")).await.len(), 1);
    assert!(unfinished.exists());
    age(dir.path(), label);
    run_expire(&storage, settings(9), Scope::Retention).await.unwrap();
    assert!(!dir.path().join("backup/demo").join(label).exists());
    assert_eq!(labels(&storage).await.len(), 4);
}

#[tokio::test]
async fn what_a_dead_process_of_this_host_left_goes_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let storage = with_two_chains(dir.path()).await;
    let begin = async |label: &str, writer: Writer| {
        let paths = BackupPaths::new(&stanza_name(), &label.parse().unwrap()).unwrap();
        let notice = Started { writer, ..Started::now(Vec::new(), None) };
        notice.write(&*storage, &paths).await.unwrap();
    };
    let ended = Writer::ended();
    begin("20260301-000000F", ended.clone()).await;
    begin("20260302-000000F", Writer::current()).await;
    begin("20260303-000000F", Writer::named("elsewhere", ended.process)).await;
    // A container of this host's name, in which that number is of another process.
    begin("20260304-000000F", Writer::named(&ended.host, ended.process)).await;
    run_expire(&storage, settings(9), Scope::Retention).await.unwrap();
    let left = names(&storage, "backup/demo").await;
    let notices: Vec<&str> = left.iter().filter_map(|name| name.strip_suffix("/started")).collect();
    let kept = ["20260302-000000F", "20260303-000000F", "20260304-000000F"];
    assert_eq!(notices, kept.map(|label| format!("backup/demo/{label}")));
}

/// What a copy left that was interrupted days ago, and the label of it.
async fn old_left_over(
    root: &Path,
    storage: &Arc<dyn Storage>,
) -> (&'static str, BackupPaths, Started) {
    let label = "20260301-000000F";
    let paths = BackupPaths::new(&stanza_name(), &label.parse().unwrap()).unwrap();
    let copies = Some(crate::types::Sha256([7; 32]));
    let writer = Writer::named("elsewhere", 1);
    let notice = Started { writer, time: 7, ..Started::now(Vec::new(), copies) };
    notice.write(&**storage, &paths).await.unwrap();
    put(storage, &format!("backup/demo/{label}/bundle/00000001")).await;
    age(root, label);
    (label, paths, notice)
}

#[tokio::test]
async fn a_left_over_that_is_gone_on_with_meanwhile_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let storage = with_two_chains(dir.path()).await;
    let (label, paths, notice) = old_left_over(dir.path(), &storage).await;
    let options = options(&storage, settings(9), Scope::Retention);
    let inventory = inventory::read(&options).await.unwrap().unwrap();
    let planned = plan::plan(&options, &inventory).unwrap();
    assert_eq!(planned.left_overs.len(), 1);
    let unchanged = async || inventory::is_unchanged(&options, &inventory, &planned).await.unwrap();
    assert!(unchanged().await);
    storage.delete(&[paths.started().unwrap()]).await.unwrap();
    let renewed = Started { time: Timestamp::now().as_second(), ..notice };
    renewed.write(&*storage, &paths).await.unwrap();
    assert!(!unchanged().await);
    run_expire(&storage, settings(9), Scope::Retention).await.unwrap();
    assert_eq!(names(&storage, &format!("backup/demo/{label}")).await.len(), 2);
}

#[tokio::test]
async fn a_left_over_that_is_completed_in_the_last_moment_keeps_its_data() {
    let dir = tempfile::tempdir().unwrap();
    let storage = with_two_chains(dir.path()).await;
    let (label, paths, _) = old_left_over(dir.path(), &storage).await;
    let options = options(&storage, settings(9), Scope::Retention);
    let job = prepare(&options).await.unwrap();
    assert_eq!(job.removal.left_overs.len(), 1);
    manifest(label, &[]).publish(&*storage).await.unwrap();
    execute(&options, &job).await.unwrap();
    // A writer that completed it detects that the notice is missing.
    assert!(Started::read_opt(&*storage, &paths).await.unwrap().is_none());
    assert_eq!(names(&storage, &format!("backup/demo/{label}")).await.len(), 2);
}

#[tokio::test]
async fn whatever_moment_it_is_cut_short_at_no_chain_is_broken_and_the_next_one_ends_it() {
    for deletes in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let storage = with_two_chains(dir.path()).await;
        let faulty = faulty(&storage, |rule| rule.at(deletes, u32::MAX), Operation::Delete);
        let ended = run_expire(&faulty, settings(1), Scope::Retention).await.is_ok();
        let left = backup_list::manifests(&storage, &stanza_name()).await.unwrap();
        for manifest in &left {
            assert!(
                manifest.references.iter().all(|needed| left.iter().any(|m| m.label == *needed))
            );
            let segment = format!("{}-", manifest.wal_start());
            assert!(names(&storage, "archive").await.iter().any(|name| name.contains(&segment)));
        }
        for label in OLD {
            let left = dir.path().join("backup/demo").join(label);
            if left.exists() {
                age(dir.path(), label);
            }
            // Between manifest and file list it looks like a backup of which the manifest was lost.
            if left.join("files").exists() && !left.join("manifest").exists() {
                assert!(!left.join("started").exists());
                run_expire(&storage, settings(9), Scope::Set(label.parse().unwrap()))
                    .await
                    .unwrap();
            }
        }
        run_expire(&storage, settings(1), Scope::Retention).await.unwrap();
        assert_eq!(labels(&storage).await, [NEW]);
        assert_eq!(dir.path().join("backup/demo").read_dir().unwrap().count(), 1, "{deletes}");
        assert_eq!(names(&storage, "archive").await.len(), 5);
        if ended {
            assert!(deletes > 5);
            break;
        }
    }
}

/// The manifest of a backup of long ago is lost: what is left of it may be all that there is.
#[tokio::test]
async fn a_backup_whose_manifest_was_lost_stays_for_a_week_with_its_wal() {
    let dir = tempfile::tempdir().unwrap();
    let storage = with_two_chains(dir.path()).await;
    let paths = BackupPaths::new(&stanza_name(), &NEW.parse().unwrap()).unwrap();
    let manifest = Manifest::read(&*storage, &stanza_name(), &NEW.parse().unwrap()).await;
    storage.delete(&[paths.manifest().unwrap()]).await.unwrap();
    age(dir.path(), NEW);
    let before = names(&storage, &format!("backup/demo/{NEW}")).await;
    for _ in 0..2 {
        let options = options(&storage, settings(1), Scope::Retention);
        let plan = prepare(&options).await.unwrap().plan;
        assert!(plan.warnings.iter().any(|text| text.contains(NEW)), "{plan:?}");
        run_expire(&storage, settings(1), Scope::Retention).await.unwrap();
        // It counts for nothing, so the other chain is the newest there is.
        assert_eq!(labels(&storage).await, OLD);
        let now = names(&storage, &format!("backup/demo/{NEW}")).await;
        assert_eq!(now.len(), before.len() + 1, "and the notice that it is lost");
    }
    assert!(names(&storage, "archive").await.iter().any(|name| name.contains("00000000000A-")));
    manifest.unwrap().publish(&*storage).await.unwrap();
    assert_eq!(labels(&storage).await, [OLD[0], OLD[1], OLD[2], NEW]);
    storage.delete(&[paths.manifest().unwrap(), paths.lost().unwrap()]).await.unwrap();
    let long_ago = Started { time: 7, ..Started::now(Vec::new(), None) };
    long_ago.write_lost(&*storage, &paths).await.unwrap();
    age(dir.path(), NEW);
    run_expire(&storage, settings(1), Scope::Retention).await.unwrap();
    assert!(!dir.path().join("backup/demo").join(NEW).exists());
    assert_eq!(labels(&storage).await, OLD);
}

#[tokio::test]
async fn what_is_left_of_a_lost_backup_goes_at_once_where_it_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let storage = with_two_chains(dir.path()).await;
    let paths = BackupPaths::new(&stanza_name(), &NEW.parse().unwrap()).unwrap();
    storage.delete(&[paths.manifest().unwrap()]).await.unwrap();
    // It may be a backup in progress of another host.
    let set = || Scope::Set(NEW.parse().unwrap());
    assert!(run_expire(&storage, settings(1), set()).await.is_err());
    age(dir.path(), NEW);
    run_expire(&storage, settings(1), set()).await.unwrap();
    assert!(!dir.path().join("backup/demo").join(NEW).exists());
    assert_eq!(labels(&storage).await, OLD);
}

#[tokio::test]
async fn what_a_backup_builds_on_stays_although_its_manifest_was_lost() {
    let dir = tempfile::tempdir().unwrap();
    let storage = with_two_chains(dir.path()).await;
    let paths = BackupPaths::new(&stanza_name(), &OLD[0].parse().unwrap()).unwrap();
    storage.delete(&[paths.manifest().unwrap()]).await.unwrap();
    let long_ago = Started { time: 7, ..Started::now(Vec::new(), None) };
    long_ago.write_lost(&*storage, &paths).await.unwrap();
    age(dir.path(), OLD[0]);
    run_expire(&storage, settings(1), Scope::Retention).await.unwrap();
    assert!(dir.path().join("backup/demo").join(OLD[0]).join("files").exists());
}

#[tokio::test]
async fn a_marked_backup_stays_until_the_mark_is_off() {
    let dir = tempfile::tempdir().unwrap();
    let storage = with_two_chains(dir.path()).await;
    let paths = BackupPaths::new(&stanza_name(), &OLD[1].parse().unwrap()).unwrap();
    keep::write(&*storage, &paths, Some(KeepMark { until: None })).await.unwrap();
    run_expire(&storage, settings(1), Scope::Retention).await.unwrap();
    assert_eq!(labels(&storage).await, [OLD[0], OLD[1], NEW]);
    let set = Scope::Set(OLD[0].parse().unwrap());
    let error = run_expire(&storage, settings(1), set.clone()).await.unwrap_err();
    assert!(error.to_string().contains("keep mark"), "{error}");
    keep::write(&*storage, &paths, None).await.unwrap();
    run_expire(&storage, settings(9), set).await.unwrap();
    assert_eq!(labels(&storage).await, [NEW]);
}

#[tokio::test]
async fn nothing_is_expired_beside_the_files_of_pgbackrest() {
    let dir = tempfile::tempdir().unwrap();
    let storage = with_two_chains(dir.path()).await;
    put(&storage, "backup/demo/backup.info").await;
    put(&storage, "backup/demo/20250101-000000F/backup.manifest").await;
    let before = names(&storage, "").await;
    let refused = run_expire(&storage, settings(1), Scope::Retention).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::RepoInvalid);
    assert_eq!(names(&storage, "").await, before);
}

#[tokio::test]
async fn files_of_others_below_an_expired_backup_stay() {
    let dir = tempfile::tempdir().unwrap();
    let storage = with_two_chains(dir.path()).await;
    let other = format!("backup/demo/{}/notes", OLD[0]);
    let path = ObjectPath::new(other.as_str()).unwrap();
    storage.put(&path, "somebody's".into()).await.unwrap();
    run_expire(&storage, settings(1), Scope::Retention).await.unwrap();
    assert_eq!(names(&storage, &format!("backup/demo/{}", OLD[0])).await, [other]);
    assert_eq!(labels(&storage).await, [NEW]);
}

/// Its bundles hold blocks of the backups that build on it, and its manifest may be brought back.
#[tokio::test]
async fn what_is_left_of_a_lost_backup_stays_while_another_needs_it() {
    let dir = tempfile::tempdir().unwrap();
    let storage = with_two_chains(dir.path()).await;
    let paths = BackupPaths::new(&stanza_name(), &OLD[0].parse().unwrap()).unwrap();
    storage.delete(&[paths.manifest().unwrap()]).await.unwrap();
    age(dir.path(), OLD[0]);
    let before = names(&storage, &format!("backup/demo/{}", OLD[0])).await;
    let set = Scope::Set(OLD[0].parse().unwrap());
    let refused = run_expire(&storage, settings(9), set).await.unwrap_err().to_string();
    assert!(refused.contains(&format!("backup {} depends on it", OLD[1])), "{refused}");
    assert_eq!(names(&storage, &format!("backup/demo/{}", OLD[0])).await, before);
    // Nor does it matter what else of it is gone.
    storage.delete(&[paths.file_list().unwrap()]).await.unwrap();
    run_expire(&storage, settings(9), Scope::Retention).await.unwrap();
    assert!(dir.path().join("backup/demo").join(OLD[0]).join("bundle/00000001").exists());
}

#[tokio::test]
async fn two_incomplete_backups_do_not_keep_each_other_from_being_removed() {
    let dir = tempfile::tempdir().unwrap();
    let storage = with_two_chains(dir.path()).await;
    for label in [OLD[0], NEW] {
        let paths = BackupPaths::new(&stanza_name(), &label.parse().unwrap()).unwrap();
        storage.delete(&[paths.directory().join("bundle/00000001").unwrap()]).await.unwrap();
    }
    assert!(run_expire(&storage, settings(9), Scope::Retention).await.is_err());
    let archived = names(&storage, "archive").await;
    for label in [NEW, OLD[0]] {
        run_expire(&storage, settings(9), Scope::Set(label.parse().unwrap())).await.unwrap();
        assert!(!dir.path().join("backup/demo").join(label).exists());
    }
    assert_eq!(names(&storage, "archive").await, archived, "what they need of it is not judged");
    assert!(labels(&storage).await.is_empty());
}
