//! Backups that do not reach their end: killed, asked to stop, cut off from their server.

use std::fs;

use rustix::process::Signal;

use crate::support::{
    Background, Site, Version, exit, for_each_source, for_each_version_and_source, on_one_version,
    wait_until,
};

const SESSIONS: &str = "select count(*) from pg_stat_activity where application_name = 'pgstrata'";

fn slow_backup(site: &Site) -> Background {
    let mut backup = site.slow_backup(&["--type=full"]);
    // Some files should be under way, not only the first message.
    std::thread::sleep(std::time::Duration::from_millis(700));
    assert!(backup.running(), "the backup ended before it could be interrupted");
    backup
}

fn site_with_rows(version: Version) -> Site {
    let site = Site::new(version);
    site.primary.sql("create table t as select g, md5(g::text) from generate_series(1, 20000) g");
    site
}

/// After the interruption nothing is listed, nothing is locked, and all works again.
fn assert_harmless(site: &Site, before: &[String]) {
    assert_eq!(site.labels(), before);
    let info = site.info();
    assert_eq!(info["status"]["lock"]["backup"]["held"], false, "{info}");
    wait_until("the server's session is gone", 10, || site.primary.value(SESSIONS) == "0");
    site.full_backup(&[]);
    assert_eq!(site.labels().len(), before.len() + 1);
    site.primary.archive_wal();
    let restored = site.restore("after", &[]).verified().start_primary();
    assert_eq!(restored.fingerprint(), site.primary.fingerprint());
}

for_each_version_and_source! {
    fn killed_backup_is_invisible_and_harmless(version) {
        let site = site_with_rows(version);
        let earlier = site.full_backup(&[]);
        let outcome = slow_backup(&site).signal(Signal::KILL);
        assert_eq!(outcome.code, -9);
        assert_harmless(&site, &[earlier]);
    }

    fn terminated_backup_stops_at_once(version) {
        let site = site_with_rows(version);
        let backup = slow_backup(&site);
        let asked = std::time::Instant::now();
        let outcome = backup.signal(Signal::TERM).code(exit::TERM);
        assert!(asked.elapsed().as_millis() < 2000, "{:?}: {outcome}", asked.elapsed());
        wait_until("the server's session is gone", 2, || site.primary.value(SESSIONS) == "0");
        assert_harmless(&site, &[]);
    }
}

for_each_source! {
    fn interrupt_from_the_keyboard_is_the_same(version) {
        let site = site_with_rows(version);
        let backup = slow_backup(&site);
        let asked = std::time::Instant::now();
        backup.signal(Signal::INT).code(exit::TERM);
        assert!(asked.elapsed().as_millis() < 2000, "{:?}", asked.elapsed());
        assert_harmless(&site, &[]);
    }

    fn second_backup_at_the_same_time_is_refused(version) {
        let site = site_with_rows(version);
        let mut first = slow_backup(&site);
        site.run(&["--type=full", "backup"]).code(exit::LOCK_ACQUIRE).says("lock");
        assert!(first.running());
        first.signal(Signal::TERM).code(exit::TERM);
        assert_harmless(&site, &[]);
    }

    fn info_shows_the_running_backup(version) {
        let site = site_with_rows(version);
        let backup = slow_backup(&site);
        let lock = site.info()["status"]["lock"]["backup"].clone();
        assert_eq!(lock["held"], true, "{lock}");
        let (size, done) = (lock["size"].as_u64(), lock["size-cplt"].as_u64());
        assert!(size.expect("size") >= done.expect("size-cplt"), "{lock}");
        backup.signal(Signal::TERM).code(exit::TERM);
        assert_harmless(&site, &[]);
    }

    fn server_that_dies_fails_the_backup(version) {
        let site = site_with_rows(version);
        let backup = slow_backup(&site);
        site.primary.kill();
        backup.finish().failed().says("ERROR");
        site.primary.start();
        assert_harmless(&site, &[]);
    }
}

on_one_version! {
    /// Two containers of one host name, with one process id and one second, begin under one label; a store that overwrites
    /// has the notice of the second.
    fn objects_under_the_label_of_another_writer_are_not_discarded(version) {
        let site = site_with_rows(version);
        let earlier = site.full_backup(&[]);
        let backup = slow_backup(&site);
        let directory = site.repository().join("backup/db");
        let entries = fs::read_dir(&directory).expect("readable").map(|entry| entry.expect("readable"));
        let mut labels = entries.map(|entry| entry.file_name().into_string().expect("text"));
        let label = labels.find(|label| *label != earlier).expect("it has begun");
        let notice = directory.join(label).join("started");
        fs::copy(directory.join(&earlier).join("started"), &notice).expect("writable");
        let outcome = backup.signal(Signal::TERM).code(exit::TERM);
        let _ = outcome.says("the files of the failed backup").says("its label is no longer reserved");
        assert!(notice.exists());
        assert_eq!(site.labels(), [earlier]);
    }

    /// Regression: the file list was there long before the manifest, so that the rest of this backup looked like one whose
    /// manifest was lost.
    fn a_backup_that_is_killed_while_it_waits_for_wal_is_no_lost_one(version) {
        let site = site_with_rows(version);
        let earlier = site.full_backup(&[]);
        site.primary.sql("alter system set archive_command = 'false'");
        site.primary.sql("select pg_reload_conf()");
        let backup = site.spawn(&["--type=full", "--archive-timeout=600", "backup"]);
        let directory = site.repository().join("backup/db");
        let began = || {
            let entries = fs::read_dir(&directory).expect("readable");
            let mut paths = entries.map(|entry| entry.expect("readable").path());
            paths.find(|path| !path.ends_with(&earlier) && path.join("map/00000001").exists())
        };
        let mut found = None;
        wait_until("all data is written", 60, || {
            found = began();
            found.is_some()
        });
        site.primary.wait_for_value("select (failed_count > 0)::text from pg_stat_archiver", "true", 60);
        backup.signal(Signal::KILL);
        assert!(!found.expect("it has begun").join("files").exists());
        site.run(&["--output=text", "verify"]).ok().says("not a backup: ");
        assert_eq!(site.labels(), [earlier]);
    }

    fn killed_restore_leaves_nothing_that_starts(version) {
        let site = site_with_rows(version);
        site.primary.sql("create table bulk as select g, repeat(md5(g::text), 10) b from generate_series(1, 200000) g");
        site.full_backup(&[]);
        let data_dir = site.dir.make("r");
        let pg_path = format!("--pg1-path={}", data_dir.display());
        let mut restore = site.spawn(&["restore", &pg_path]);
        wait_until("the restore has begun", 30, || {
            !restore.running() || data_dir.join("base").exists()
        });
        restore.signal(Signal::KILL);
        // pg_control comes last: without it PostgreSQL does not start on half a cluster.
        if !data_dir.join("global/pg_control").exists() {
            let half = crate::support::Restored::new(version, &data_dir);
            assert!(half.try_start().is_err());
        }
        site.restore_into(&data_dir, &["--force"]).ok();
        let restored = crate::support::Restored::new(version, &data_dir).verified().start_primary();
        assert!(restored.fingerprint().iter().any(|line| line.contains("bulk")));
    }
}
