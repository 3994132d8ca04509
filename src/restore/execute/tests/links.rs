//! Links of the backup, and links of the directory that is restored into.

use std::os::unix::fs::symlink;

use super::*;

/// A cluster with a linked database, linked logs and a linked configuration, below `away`.
fn linked(away: &Path) -> Vec<Item> {
    let to = |name: &str| away.join(name).display().to_string();
    cluster(vec![
        directory("base"),
        directory("base/5").linked_to(&to("db")),
        file("base/5/1", noise(30_000, 1)),
        directory("log").linked_to(&to("log")),
        file("log/a", "a line"),
        link("log/now", "a"),
        file("postgresql.conf", "port = 1").linked_to(&to("etc/pg.conf")),
    ])
}

fn link_all() -> PlacementOptions {
    PlacementOptions { link_all: true, ..PlacementOptions::default() }
}

impl Bench {
    fn away(&self) -> PathBuf {
        self.scratch.path().join("away")
    }

    /// The placement of a restore with `--delta`.
    async fn kept(&self, placement: PlacementOptions) -> Result<PlacementOptions, Error> {
        let (stanza, label) = ("demo".parse().unwrap(), "20261121-092452F".parse().unwrap());
        let manifest = Manifest::read(&*self.storage, &stanza, &label).await?;
        let list = FileList::read(&*self.storage, &manifest).await?;
        placement.with_links_of(&self.data(), &list.files)
    }

    async fn delta(&self) -> Result<(), Error> {
        let placement = self.kept(PlacementOptions::default()).await?;
        self.restore_with(Existing::Update, &placement).await.map(drop)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn content_behind_links_is_restored_with_and_without_the_links() {
    let bench = Bench::new();
    bench.store(&linked(&bench.away())).await;
    let (data, away) = (bench.data(), bench.away());
    bench.restore(Existing::Refuse).await.unwrap();
    assert!(fs::symlink_metadata(data.join("base/5")).unwrap().is_dir());
    assert!(fs::symlink_metadata(data.join("postgresql.conf")).unwrap().is_file());
    assert_eq!(fs::read(data.join("base/5/1")).unwrap(), noise(30_000, 1));
    assert_eq!(fs::read_link(data.join("log/now")).unwrap(), Path::new("a"));
    assert!(!away.exists());

    fs::remove_dir_all(&data).unwrap();
    bench.restore_with(Existing::Refuse, &link_all()).await.unwrap();
    assert_eq!(fs::read_link(data.join("base/5")).unwrap(), away.join("db"));
    assert_eq!(fs::read(away.join("db/1")).unwrap(), noise(30_000, 1));
    assert_eq!(fs::read(away.join("etc/pg.conf")).unwrap(), b"port = 1");
    assert_eq!(fs::read(data.join("log/now")).unwrap(), b"a line");
    assert_eq!(fs::read_link(away.join("log/now")).unwrap(), Path::new("a"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_links_lead_to_is_replaced_only_where_it_is_ours() {
    let bench = Bench::new();
    bench.store(&linked(&bench.away())).await;
    let (data, away) = (bench.data(), bench.away());
    let conf = away.join("etc/pg.conf");
    let code = async |existing| {
        let restored = bench.restore_with(existing, &link_all()).await;
        restored.map(drop).unwrap_err().code()
    };
    fs::create_dir_all(away.join("etc")).unwrap();
    fs::write(&conf, "of somebody else").unwrap();
    assert_eq!(code(Existing::Refuse).await, ErrorCode::PathNotEmpty);
    assert_eq!(code(Existing::Replace).await, ErrorCode::PathNotEmpty);
    assert_eq!(fs::read(&conf).unwrap(), b"of somebody else");
    assert!(!data.exists(), "nothing was touched");
    fs::remove_file(&conf).unwrap();
    for other in ["a link", "a directory"] {
        match other {
            "a link" => symlink("/etc/hostname", &conf).unwrap(),
            _ => fs::create_dir(&conf).unwrap(),
        }
        assert_eq!(code(Existing::Update).await, ErrorCode::LinkDestination, "{other}");
        fs::remove_file(&conf).or_else(|_| fs::remove_dir(&conf)).unwrap();
    }
    bench.restore_with(Existing::Refuse, &link_all()).await.unwrap();
    fs::write(&conf, "changed").unwrap();
    fs::write(away.join("db/stale"), "").unwrap();
    fs::write(away.join("log/of another cluster"), "").unwrap();
    assert_eq!(code(Existing::Refuse).await, ErrorCode::PathNotEmpty);
    for existing in [Existing::Update, Existing::Replace] {
        bench.restore_with(existing, &link_all()).await.unwrap();
        assert_eq!(fs::read(&conf).unwrap(), b"port = 1");
        assert!(!away.join("db/stale").exists());
        assert!(away.join("log/of another cluster").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_leaves_the_links_of_the_target() {
    let bench = Bench::new();
    // As a source has it that sees no links.
    let items = cluster(vec![
        directory("base"),
        directory("base/5"),
        file("base/5/1", noise(30_000, 1)),
        file("postgresql.conf", "port = 1"),
    ]);
    bench.store(&items).await;
    bench.restore(Existing::Refuse).await.unwrap();
    let (data, away) = (bench.data(), bench.away());
    fs::create_dir_all(away.join("wal")).unwrap();
    fs::create_dir_all(away.join("log")).unwrap();
    fs::rename(data.join("base/5"), away.join("db")).unwrap();
    fs::rename(data.join("postgresql.conf"), away.join("pg.conf")).unwrap();
    fs::remove_dir_all(data.join("pg_wal")).unwrap();
    // One of them relative.
    symlink("../../away/db", data.join("base/5")).unwrap();
    symlink(away.join("pg.conf"), data.join("postgresql.conf")).unwrap();
    symlink(away.join("wal"), data.join("pg_wal")).unwrap();
    symlink(away.join("log"), data.join("log")).unwrap();
    symlink(away.join("pg.conf"), data.join("standby.signal")).unwrap();
    symlink(away.join("pg.conf"), data.join("base/77")).unwrap();
    fs::write(away.join("db/1"), "damaged").unwrap();
    fs::write(away.join("db/stale"), "").unwrap();
    fs::write(away.join("wal/old segment"), "").unwrap();
    fs::write(away.join("pg.conf"), "port = 2").unwrap();

    bench.delta().await.unwrap();
    assert_eq!(fs::read_link(data.join("base/5")).unwrap(), Path::new("../../away/db"));
    assert_eq!(fs::read_link(data.join("log")).unwrap(), away.join("log"));
    assert_eq!(fs::read_link(data.join("pg_wal")).unwrap(), away.join("wal"));
    assert_eq!(fs::read(away.join("db/1")).unwrap(), noise(30_000, 1));
    assert_eq!(fs::read(away.join("pg.conf")).unwrap(), b"port = 1");
    assert!(!away.join("db/stale").exists() && !away.join("wal/old segment").exists());
    assert!(fs::symlink_metadata(data.join("standby.signal")).is_err());
    assert!(fs::symlink_metadata(data.join("base/77")).is_err(), "the backup has no such file");

    fs::rename(away.join("db"), away.join("not mounted")).unwrap();
    let error = bench.delta().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PathMissing, "{error}");
    assert!(data.join("global/pg_control").exists(), "nothing was touched");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_cannot_lead_a_file_astray() {
    let bench = Bench::new();
    let data = bench.data();
    let to = |target: &str| {
        let mut items = cluster(vec![directory("dir").linked_to(target), file("dir/x", "x")]);
        items.push(link("inner", "../../away"));
        items
    };
    let outside = bench.away();
    let up = "a/../../../../../../../../../../../../../..";
    for target in [&*data.display().to_string(), "global", "/", up, ""] {
        let bench = Bench { scratch: tempfile::tempdir().unwrap(), ..Bench::new() };
        let target =
            target.replace(&data.display().to_string(), &bench.data().display().to_string());
        bench.store(&to(&target)).await;
        let refused = bench.restore_with(Existing::Refuse, &link_all()).await;
        assert!(refused.is_err(), "{target:?}");
        assert!(!bench.data().exists());
        // Without the links the content goes where it was stored.
        if !target.is_empty() {
            bench.restore(Existing::Refuse).await.unwrap();
            assert_eq!(fs::read(bench.data().join("dir/x")).unwrap(), b"x");
            assert!(bench.data().join("inner").is_dir(), "a link out of the directory is not made");
        }
    }
    assert!(!outside.exists());
}
