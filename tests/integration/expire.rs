//! Retention on real backups: what goes, what stays restorable, and that a running backup is never harmed.

use rustix::process::Signal;

use crate::support::{Site, exit, for_each_version, on_one_version};

/// Takes a backup of a type, with a change and some WAL before it.
fn backup(site: &Site, kind: &str, options: &[&str]) -> String {
    site.primary
        .sql("create table if not exists t (n int); insert into t select generate_series(1, 1000)");
    site.primary.archive_wal();
    let kind = format!("--type={kind}");
    let mut arguments = vec![kind.as_str()];
    arguments.extend(options);
    arguments.push("backup");
    site.run(&arguments).ok();
    site.last_label()
}

/// The option that makes a command one of another host: it does not see the locks of this one.
fn other_host(site: &Site) -> String {
    format!("--lock-path={}", site.dir.make("other-lock").display())
}

/// The oldest archived segment, as `info` tells it.
fn oldest_wal(site: &Site) -> String {
    site.info()["archive"][0]["min"].as_str().expect("there is WAL").to_owned()
}

/// The first segment that a backup needs.
fn wal_start(site: &Site, label: &str) -> String {
    let info = site.info();
    let backups = info["backup"].as_array().expect("list").clone();
    let found = backups.iter().find(|backup| backup["label"] == label).expect("it is listed");
    found["archive"]["start"].as_str().expect("text").to_owned()
}

for_each_version! {
    fn expired_chains_take_their_wal_and_the_rest_restores(version) {
        let site = Site::builder(version).option("repo1-retention-full", "2").build();
        let gone = [backup(&site, "full", &[]), backup(&site, "diff", &[]), backup(&site, "incr", &[])];
        let second = backup(&site, "full", &[]);
        let incr = backup(&site, "incr", &[]);
        assert_eq!(site.labels().len(), 5, "two fulls stay");
        let third = backup(&site, "full", &[]);
        assert_eq!(site.labels(), [second.as_str(), &incr, &third]);
        for label in gone {
            assert!(site.repository_files(&format!("backup/db/{label}")).is_empty());
        }
        assert_eq!(oldest_wal(&site), wal_start(&site, &second));
        site.primary.archive_wal();
        let expected = site.primary.fingerprint();
        for (name, label) in [("r1", &second), ("r2", &incr), ("r3", &third)] {
            let restored = site.restore(name, &[&format!("--set={label}")]).verified().start_primary();
            assert_eq!(restored.fingerprint(), expected, "{label}");
            restored.stop();
        }
    }
}

on_one_version! {
    fn an_expire_of_another_host_leaves_a_running_backup_alone(version) {
        let site = Site::new(version);
        let first = backup(&site, "full", &[]);
        let running = site.slow_backup(&["--type=incr", "--delta"]);
        let host = other_host(&site);
        // Another host takes a full and expires all but that.
        site.run(&[&host, "--type=full", "--repo1-retention-full=1", "backup"]).ok();
        let second = site.last_label();
        assert_eq!(site.labels(), [first.as_str(), &second], "the incr builds on the first");
        let set = format!("--set={first}");
        site.run(&[&host, &set, "expire"]).code(exit::BACKUP_SET_INVALID).says("in progress");
        site.run(&[&host, "--oldest", "expire"]).code(exit::BACKUP_SET_INVALID).says("in progress");
        // On this host the lock says it.
        site.run(&["expire"]).code(exit::LOCK_ACQUIRE);
        running.finish().ok();
        let labels = site.labels();
        assert_eq!(labels.len(), 3, "{labels:?}");
        let incr = labels.iter().find(|label| label.ends_with('I')).expect("it is published").clone();
        site.primary.archive_wal();
        let expected = site.primary.fingerprint();
        let restored = site.restore("r", &[&format!("--set={incr}")]).verified().start_primary();
        assert_eq!(restored.fingerprint(), expected);
        site.run(&["--repo1-retention-full=1", "expire"]).ok();
        assert_eq!(site.labels(), [second]);
    }

    fn an_expire_beside_a_running_full_leaves_its_wal(version) {
        let site = Site::new(version);
        backup(&site, "full", &[]);
        let second = backup(&site, "full", &[]);
        let running = site.slow_backup(&["--type=full"]);
        for _ in 0..3 {
            site.primary.sql("insert into t select generate_series(1, 1000)");
            site.primary.archive_wal();
        }
        site.run(&[&other_host(&site), "--repo1-retention-full=1", "expire"]).ok();
        assert_eq!(site.labels(), std::slice::from_ref(&second));
        running.finish().ok();
        let third = site.last_label();
        assert_ne!(second, third);
        let options = [&format!("--set={third}"), "--type=immediate", "--target-action=promote"];
        site.restore("r", &options).verified().start_primary();
    }

    fn what_a_killed_backup_left_goes_with_the_next_expire(version) {
        let site = Site::new(version);
        backup(&site, "full", &[]);
        site.slow_backup(&["--type=full"]).signal(Signal::KILL);
        let directories = || site.repository().join("backup/db").read_dir().expect("there").count();
        assert_eq!(directories(), 2);
        site.run(&["expire", "--dry-run"]).ok().says("remove interrupted backup");
        assert_eq!(directories(), 2);
        site.run(&["expire"]).ok();
        assert_eq!(directories(), 1);
        assert_eq!(site.labels().len(), 1);
    }

    fn a_dry_run_says_exactly_what_goes(version) {
        let site = Site::new(version);
        let first = backup(&site, "full", &[]);
        let second = backup(&site, "full", &[]);
        let before = site.repository_files("");
        let retention = "--repo1-retention-full=1";
        let outcome = site.run(&[retention, "--dry-run", "expire"]).ok();
        assert_eq!(site.repository_files(""), before);
        let said = |text: &str| outcome.stdout.lines().any(|line| line.contains(text));
        assert!(said(&format!("expire full backup {first}")), "{outcome}");
        assert!(said(&format!("keep backup {second}: retention")), "{outcome}");
        let range = format!("remove archive, start = {}", oldest_wal(&site));
        assert!(said(&range), "{range}: {outcome}");
        site.run(&[retention, "expire"]).ok();
        assert_eq!(site.labels(), std::slice::from_ref(&second));
        assert_eq!(oldest_wal(&site), wal_start(&site, &second));
        site.run(&[retention, "--dry-run", "expire"]).ok().says("nothing to expire");
    }

    fn one_set_is_expired_by_request(version) {
        let site = Site::new(version);
        let full = backup(&site, "full", &[]);
        let diff = backup(&site, "diff", &[]);
        let incr = backup(&site, "incr", &[]);
        let second = backup(&site, "full", &[]);
        site.run(&[&format!("--set={diff}"), "expire"]).ok();
        assert_eq!(site.labels(), [full.as_str(), &second], "{incr} builds on {diff}");
        site.run(&["--oldest", "expire"]).ok();
        assert_eq!(site.labels(), std::slice::from_ref(&second));
        for arguments in [vec![format!("--set={second}")], vec!["--oldest".to_owned()]] {
            let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            arguments.push("expire");
            site.run(&arguments).code(exit::BACKUP_SET_INVALID);
        }
        site.run(&[&format!("--set={full}"), "expire"]).code(exit::BACKUP_SET_INVALID).says(&full);
        site.run(&[&format!("--set={second}"), "--oldest", "expire"]).code(exit::OPTION_INVALID);
        assert_eq!(site.labels(), [second]);
    }

    fn a_marked_backup_stays_restorable(version) {
        let site = Site::builder(version).option("repo1-retention-full", "1").build();
        backup(&site, "full", &[]);
        let diff = backup(&site, "diff", &[]);
        let set = format!("--set={diff}");
        let expected = site.primary.fingerprint();
        site.run(&[&set, "keep"]).ok();
        site.run(&["info"]).ok().says("keep: until removed");
        backup(&site, "full", &[]);
        let newest = backup(&site, "full", &[]);
        let labels = site.labels();
        assert_eq!((labels.len(), &labels[1], &labels[2]), (3, &diff, &newest));
        site.run(&[&set, "expire"]).code(exit::BACKUP_SET_INVALID).says("keep mark");
        let options = [&set, "--type=immediate", "--target-action=promote"];
        let restored = site.restore("r", &options).verified().start_primary();
        assert_eq!(restored.fingerprint(), expected);
        restored.stop();

        site.run(&[&set, "--until=2999-12-31", "keep"]).ok();
        assert!(site.info()["backup"][1]["keep"]["until"].is_i64());
        site.run(&["expire"]).ok();
        assert_eq!(site.labels().len(), 3);
        site.run(&[&set, "--remove", "keep"]).ok();
        assert!(site.info()["backup"][1].get("keep").is_none());
        site.run(&["expire"]).ok();
        assert_eq!(site.labels(), [newest]);
        site.run(&[&set, "keep"]).code(exit::BACKUP_SET_INVALID);
        site.run(&["keep"]).code(exit::OPTION_REQUIRED);
        site.run(&[&set, "--until=2020-01-01", "keep"]).code(exit::OPTION_INVALID_VALUE);
        site.run(&[&set, "--until=2999-12-31", "--remove", "keep"]).code(exit::OPTION_INVALID);
    }

    fn a_failed_expire_does_not_hide_that_the_backup_is_good(version) {
        let site = Site::builder(version).option("repo1-retention-full", "1").build();
        let first = backup(&site, "full", &[]);
        let manifest = site.repository().join(format!("backup/db/{first}/manifest"));
        let intact = std::fs::read(&manifest).expect("manifest");
        let before = site.repository_files("").len();
        std::fs::write(&manifest, &intact[..intact.len() - 1]).expect("writable");
        let outcome = site.run(&["--type=full", "backup"]).code(exit::CHECKSUM);
        outcome.says("is complete, but the expire after it failed").says(&first);
        assert!(site.repository_files("").len() > before, "nothing was removed");
        std::fs::write(&manifest, &intact).expect("writable");
        assert_eq!(site.labels().len(), 2);
        site.run(&["expire"]).ok();
        assert_eq!(site.labels().len(), 1);
        site.run(&["--type=full", "--no-expire-auto", "backup"]).ok();
        assert_eq!(site.labels().len(), 2);
    }

    fn a_stopped_stanza_is_not_expired(version) {
        let site = Site::new(version);
        site.run(&["stop"]).ok();
        site.run(&["expire"]).code(exit::STOP);
        site.run(&["--set=20261121-092452F", "keep"]).code(exit::STOP);
        site.run(&["start"]).ok();
        site.run(&["expire"]).ok();
    }

    fn archive_retention_leaves_older_backups_their_own_wal(version) {
        let site = Site::builder(version).option("repo1-retention-full", "3").build();
        let first = backup(&site, "full", &[]);
        let expected = site.primary.fingerprint();
        backup(&site, "full", &[]);
        let third = backup(&site, "full", &["--repo1-retention-archive=1"]);
        assert_eq!(site.labels().len(), 3);
        assert_eq!(oldest_wal(&site), wal_start(&site, &first));
        let set = format!("--set={first}");
        let options = [set.as_str(), "--type=immediate", "--target-action=promote"];
        let restored = site.restore("r", &options).verified().start_primary();
        assert_eq!(restored.fingerprint(), expected);
        restored.stop();
        // But it can no longer be rolled forward, which restore says beforehand.
        site.restore_into(&site.dir.make("r2"), &[&set]).says("WAL is missing from the archive");
        site.primary.archive_wal();
        let newest = site.restore("r3", &[&format!("--set={third}")]).verified().start_primary();
        assert_eq!(newest.fingerprint(), site.primary.fingerprint());
    }
}
