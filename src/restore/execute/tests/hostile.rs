//! A manipulated repository must not harm the host that restores from it.

use super::*;
use crate::types::RecoveryTarget;

const VERSION: &str = "pg_tblspc/16401/PG_15_202209061";

/// A backup with a tablespace at `location`, and what `more` says is in it.
async fn with_tablespace(bench: &Bench, location: &Path, more: Vec<Item>) {
    let mut items = vec![directory(VERSION), file(format!("{VERSION}/5/1"), noise(9000, 1))];
    items.extend(more);
    let making = Making {
        tablespaces: vec![tablespace(16401, "ts", location.to_str().unwrap())],
        backup_manifest: MANIFEST_OF_TABLESPACE_MAP,
        ..Making::default()
    };
    store(&bench.storage, &cluster(items), &making).await;
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_is_written_beside_the_directory_of_the_version() {
    let bench = Bench::new();
    let home = bench.scratch.path().join("home");
    fs::create_dir(&home).unwrap();
    let key = file("pg_tblspc/16401/authorized_keys", "ssh-ed25519 …");
    with_tablespace(&bench, &home, vec![key]).await;
    let refused = bench.restore(Existing::Refuse).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Format);
    assert!(!bench.data().exists() && fs::read_dir(&home).unwrap().next().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_holds_something_else_keeps_its_owner_and_mode() {
    let bench = Bench::new();
    let (home, empty) = (bench.scratch.path().join("home"), bench.scratch.path().join("empty"));
    for (location, mode) in [(&home, 0o755), (&empty, 0o700)] {
        fs::create_dir(location).unwrap();
        fs::set_permissions(location, fs::Permissions::from_mode(0o755)).unwrap();
        if *location == home {
            fs::write(home.join("notes"), "mine").unwrap();
        }
        let bench = Bench::new();
        with_tablespace(&bench, location, Vec::new()).await;
        bench.restore(Existing::Refuse).await.unwrap();
        assert_eq!(mode_of(location), mode, "{}", location.display());
        assert_eq!(fs::read(location.join("PG_15_202209061/5/1")).unwrap(), noise(9000, 1));
    }
    assert_eq!(fs::read(home.join("notes")).unwrap(), b"mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_location_that_is_a_file_is_refused() {
    let bench = Bench::new();
    let location = bench.scratch.path().join("file");
    fs::write(&location, "mine").unwrap();
    with_tablespace(&bench, &location, Vec::new()).await;
    let refused = bench.restore(Existing::Update).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::LinkDestination);
    assert_eq!(fs::read(&location).unwrap(), b"mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn modes_of_a_tablespace_let_nobody_else_in() {
    let bench = Bench::new();
    let location = bench.scratch.path().join("ts");
    with_tablespace(&bench, &location, Vec::new()).await;
    let plan = bench.plan(&PlacementOptions::default()).await.unwrap();
    let mut plan = Arc::unwrap_or_clone(plan);
    let (manifest, mut list) = {
        let stanza = "demo".parse().unwrap();
        let manifest =
            Manifest::read(&*bench.storage, &stanza, &plan.manifest.label).await.unwrap();
        let list = FileList::read(&*bench.storage, &manifest).await.unwrap();
        (manifest, list)
    };
    list.files.iter_mut().for_each(|entry| entry.mode = 0o6777);
    let mode = manifest.cluster.data_directory_mode;
    plan.entries = Entries::new(list.files, &plan.layout, &RecoveryTarget::Latest, mode).unwrap();
    bench.execute(&Arc::new(plan), Existing::Refuse).await.unwrap();
    assert_eq!(mode_of(&location.join("PG_15_202209061")), 0o750);
    assert_eq!(mode_of(&location.join("PG_15_202209061/5/1")), 0o750);
    assert_eq!(mode_of(&bench.data().join("PG_VERSION")), 0o777, "setuid and setgid are dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn root_is_told_what_the_backup_decides() {
    let bench = Bench::new();
    with_tablespace(&bench, Path::new("/etc"), Vec::new()).await;
    let plan = bench.plan(&PlacementOptions::default()).await.unwrap();
    let dangers = owner::dangers_as_root(&plan.layout, (0, 7));
    assert_eq!(dangers.len(), 2, "{dangers:#?}");
    assert!(
        dangers[0].contains(
            "user 0 and group 7 because the backup says so, as which PostgreSQL does not"
        )
    );
    assert!(dangers[1].contains("writes to '/etc/PG_15_202209061' because the backup says so"));
    let mapped = PlacementOptions {
        tablespace_map: [("ts".to_owned(), "/srv/ts".into())].into(),
        ..PlacementOptions::default()
    };
    let plan = bench.plan(&mapped).await.unwrap();
    assert_eq!(owner::dangers_as_root(&plan.layout, (0, 7)).len(), 1, "an option names the place");
}
