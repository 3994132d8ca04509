//! Several repositories: WAL goes to all of them, a backup to one; what one cannot give, the next one does.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::support::{Damage, Outcome, Restored, Site, Version, exit, on_one_version, write_file};

/// A site with a second repository.
fn two(version: Version) -> Site {
    let site = Site::new(version);
    let second = site.dir.make("repo2");
    site.configure(&format!("repo2-path={}", second.display()));
    site.run(&["stanza-create"]).ok();
    site
}

fn root(site: &Site, key: u16) -> PathBuf {
    site.dir.path().join(if key == 1 { "repo".to_owned() } else { format!("repo{key}") })
}

/// The objects of an archived file in a repository.
fn archived(site: &Site, key: u16, name: &str) -> Vec<PathBuf> {
    let files = site.repository_files(&format!("{}/archive/db", root(site, key).display()));
    let is_it = |path: &PathBuf| {
        path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name))
    };
    files.into_iter().filter(is_it).collect()
}

/// Runs `test` while a repository is away, and something else stands in its place.
fn without(site: &Site, key: u16, test: impl FnOnce()) {
    let (repository, away) = (root(site, key), site.dir.path().join("away"));
    fs::rename(&repository, &away).expect("writable");
    write_file(&repository, "this is no repository");
    test();
    fs::remove_file(&repository).expect("writable");
    fs::rename(&away, &repository).expect("writable");
}

/// Pushes a small file.
fn push(site: &Site, name: &str) -> Outcome {
    let path = site.dir.make("wal-in").join(name);
    write_file(&path, "1\t0/3000000\tno recovery target specified\n");
    site.run(&["archive-push", &path.display().to_string()])
}

fn get(site: &Site, name: &str) -> (Outcome, Option<Vec<u8>>) {
    let target = site.dir.make("wal-out").join("RECOVERYXLOG");
    let _ = fs::remove_file(&target);
    let outcome = site.run(&["archive-get", name, &target.display().to_string()]);
    (outcome, fs::read(&target).ok())
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("own directory");
}

fn in_repo(site: &Site, key: u16) -> Vec<String> {
    let info = site.info();
    let backups = info["backup"].as_array().expect("list").clone();
    let is_in = |backup: &&serde_json::Value| backup["database"]["repo-key"] == key;
    let label = |b: &serde_json::Value| b["label"].as_str().expect("text").to_owned();
    backups.iter().filter(is_in).map(label).collect()
}

on_one_version! {
    fn wal_reaches_every_repository_although_one_is_broken(version) {
        let site = two(version);
        let name = "00000002.history";
        without(&site, 2, || {
            push(&site, name).failed().says("repo2").says("failed in 1 of 2 repositories");
            assert_eq!(archived(&site, 1, name).len(), 1);
        });
        assert!(archived(&site, 2, name).is_empty());
        push(&site, name).ok();
        assert_eq!((archived(&site, 1, name).len(), archived(&site, 2, name).len()), (1, 1));
        // The first repository is no more important than the second.
        without(&site, 1, || {
            push(&site, "00000003.history").failed().says("repo1");
            assert_eq!(archived(&site, 2, "00000003.history").len(), 1);
        });
        let archive = root(&site, 2).join("archive/db/15-1");
        mode(&archive, 0o500);
        push(&site, "00000004.history").failed().says("repo2").says("HINT");
        mode(&archive, 0o750);
        push(&site, "00000004.history").ok();
    }

    fn wal_comes_from_the_next_repository_where_one_has_it_not_whole(version) {
        let site = two(version);
        site.primary.sql("create table t as select generate_series(1, 1000)");
        let name = site.primary.archive_wal();
        let object = archived(&site, 1, &name)[0].clone();
        let expected = get(&site, &name).1.expect("delivered");
        for damage in Damage::ALL {
            damage.during(&object, || {
                let (outcome, delivered) = get(&site, &name);
                let outcome = outcome.ok();
                assert!(delivered.expect("delivered") == expected, "{damage:?}");
                assert_eq!(outcome.has("repo1"), damage != Damage::Gone, "{damage:?}: {outcome}");
            });
        }
        let archive = root(&site, 1).join("archive");
        mode(&archive, 0);
        get(&site, &name).0.ok().says("WARN").says("repo1");
        let absent = "0000000100000000000000F0";
        let (outcome, delivered) = get(&site, absent);
        assert!(outcome.code > 125 && delivered.is_none(), "repo1 could not be asked: {outcome}");
        mode(&archive, 0o750);
        get(&site, absent).0.code(1);
        without(&site, 2, || assert!(get(&site, absent).0.code > 125));
    }

    fn a_restore_takes_the_next_repository_where_one_is_away(version) {
        let site = two(version);
        site.primary.sql("create table t as select generate_series(1, 1000)");
        let first = site.full_backup(&[]);
        site.wait_for_the_next_second();
        let second = site.full_backup(&["--repo=2"]);
        assert_eq!((in_repo(&site, 1), in_repo(&site, 2)), (vec![first], vec![second.clone()]));
        site.primary.sql("insert into t values (0)");
        site.primary.archive_wal();
        let expected = site.primary.fingerprint();
        without(&site, 1, || {
            let data_dir = site.dir.make("r1");
            site.restore_into(&data_dir, &[]).ok().says("WARN").says("repo1");
            site.restore_into(&site.dir.make("r2"), &["--repo=1"]).failed();
            // Whether the one that is away has more WAL nobody knows: the end is not taken for proven.
            let half = site.dir.make("r6");
            site.restore_into(&half, &[]).ok().says("recovery asks repo1 for WAL too").says("--repo=2");
            let half = Restored::new(version, &half).verified().try_start();
            if let Ok(half) = half {
                half.wait_until_down(90);
                assert!(!half.log().contains("selected new timeline"), "{}", half.log());
            }
            // Who names a repository means it for the recovery too.
            let named = site.restore("r7", &["--repo=2"]).verified();
            assert!(named.auto_conf().contains("--repo=2"));
            assert_eq!(named.start_primary().fingerprint(), expected);
        });
        let data_dir = site.dir.path().join("r1");
        let copy = Restored::new(version, &data_dir).verified().start_primary();
        assert_eq!(copy.fingerprint(), expected);
        let largest = site
            .repository_files("backup/db")
            .into_iter()
            .max_by_key(|path| fs::metadata(path).expect("there").len())
            .expect("there are objects");
        Damage::FlipAt(500).during(&largest, || {
            let outcome = site.restore_into(&site.dir.make("r3"), &[]).failed();
            outcome.says("repo1: ").says("--repo=2").says("is damaged");
            let restored = site.restore("r4", &["--repo=2"]).verified().start_primary();
            assert_eq!(restored.fingerprint(), expected);
        });
        let set = format!("--set={second}");
        site.restore("r5", &[&set]).verified();
    }

    fn a_repository_that_is_proven_gone_does_not_stop_the_recovery(version) {
        let site = two(version);
        site.primary.sql("create table t as select generate_series(1, 1000)");
        site.full_backup(&["--repo=2"]);
        site.primary.sql("insert into t values (0)");
        site.primary.archive_wal();
        let expected = site.primary.fingerprint();
        for directory in ["archive", "backup", "stanza"] {
            let _ = fs::remove_dir_all(root(&site, 1).join(directory));
        }
        // An empty directory may be one whose disk is not mounted.
        site.restore_into(&site.dir.make("r1"), &[]).ok().says("restore with --repo=2").never_says("from repo2 only");
        fs::create_dir(root(&site, 1).join("lost+found")).expect("writable");
        let data_dir = site.dir.make("r2");
        site.restore_into(&data_dir, &[]).ok().says("recovery will read WAL from repo2 only");
        let copy = Restored::new(version, &data_dir).start_primary();
        assert_eq!(copy.fingerprint(), expected);
    }

    fn info_tells_each_repository(version) {
        let site = two(version);
        site.full_backup(&[]);
        site.run(&["--repo=2", "--type=full", "backup"]).ok();
        let info = site.info();
        assert_eq!(info["status"]["code"], 0, "{info}");
        assert_eq!((info["repo"][0]["key"].as_u64(), info["repo"][1]["key"].as_u64()), (Some(1), Some(2)));
        assert_eq!(info["archive"][1]["database"]["repo-key"], 2);
        site.run(&["info"]).ok().says("repo1: backup set size").says("repo2: backup set size");
        site.run(&["--repo=2", "info"]).ok().never_says("repo1").says("repo2");
        {
            let repository = root(&site, 2);
            mode(&repository, 0);
            let info = site.info();
            assert_eq!((info["status"]["code"].as_u64(), info["backup"].as_array().map(Vec::len)), (Some(4), Some(1)));
            assert_eq!(info["repo"][1]["status"]["code"], 99, "{info}");
            let text = site.run(&["info"]).ok().says("status: mixed").says("repo1: ok");
            text.says("repo2: error (other)");
            site.run(&["check"]).failed().says("repo2");
            site.run(&["stanza-create"]).failed().says("repo2");
            site.run(&["verify"]).failed().says("repo2");
            mode(&repository, 0o750);
        }
        site.run(&["check"]).ok();
        site.run(&["verify"]).ok();
        site.run(&["stanza-delete"]).code(exit::OPTION_REQUIRED);
    }

    fn each_repository_has_its_own_retention(version) {
        let site = two(version);
        site.configure("repo1-retention-full=1\nrepo2-retention-full=2");
        for _ in 0..3 {
            site.run(&["--type=full", "backup"]).ok();
            site.run(&["--type=full", "--repo=2", "backup"]).ok();
        }
        assert_eq!((in_repo(&site, 1).len(), in_repo(&site, 2).len()), (1, 2));
        without(&site, 1, || {
            site.run(&["--repo2-retention-full=1", "expire"]).failed().says("stanza");
        });
        assert_eq!((in_repo(&site, 1).len(), in_repo(&site, 2).len()), (1, 1));
    }
}
