//! Where the files of a backup are read: which source is taken, and that both go together in a chain.

use std::{
    fs::{File, FileTimes, OpenOptions},
    os::unix::fs::FileExt,
    time::{Duration, SystemTime},
};

use serde_json::Value;

use crate::support::{
    Site, Version, exit, for_each_fixed_version, for_each_version, on_one_version, pg_amcheck,
    wait_until, write_file,
};

const FILES: &str = "reading files from";
const STREAM: &str = "reading files over the replication protocol";
const TOLD: &str = "changes found in the server's WAL summaries";

/// Takes a backup with further options; what it said, and where `info` says that it was read.
fn take(site: &Site, kind: &str, options: &[&str]) -> (String, String) {
    let kind = format!("--type={kind}");
    let mut arguments = vec![&*kind, "--log-level-stderr=info"];
    arguments.extend(options);
    arguments.push("backup");
    let outcome = site.run(&arguments).ok();
    let newest = newest(site);
    (outcome.stderr, newest["source"].as_str().expect("a source").to_owned())
}

fn newest(site: &Site) -> Value {
    let info = site.info();
    info["backup"].as_array().expect("a list").last().expect("a backup").clone()
}

fn rows(site: &Site) {
    site.primary.sql(
        "create table kept as select g id, md5(g::text) body from generate_series(1, 60000) g",
    );
    site.primary.sql("create index on kept (body)");
    site.primary.sql("create table still as select g id from generate_series(1, 60000) g");
    site.primary.sql("vacuum");
    site.primary.sql("checkpoint");
}

/// A site whose role does not see which data directory the server names.
fn site_without_settings(version: Version) -> Site {
    let site = Site::builder(version).option("pg1-user", "keeper").build_without_stanza();
    site.primary.sql("create role keeper login replication");
    site.primary.sql(&format!("grant execute on function {} to keeper", backup_functions(version)));
    site.run(&["stanza-create"]).ok();
    site
}

fn change(site: &Site, round: u32) {
    site.primary.sql(&format!("update kept set body = body || '{round}' where id % 50 = {round}"));
    site.primary.sql(&format!("create table more{round} as select * from kept where id < 5000"));
    site.primary.sql("checkpoint");
}

/// Restores every backup to the end of the WAL and compares.
fn every_backup_comes_back(site: &Site) {
    let expected = site.primary.fingerprint();
    site.primary.archive_wal();
    for label in site.labels() {
        let restored = site.restore(&format!("r-{label}"), &[&format!("--set={label}")]).verified();
        let restored = restored.start_primary();
        assert_eq!(restored.fingerprint(), expected, "{label}");
        pg_amcheck(&restored);
        restored.stop();
    }
}

fn backup_functions(version: Version) -> &'static str {
    match version.major() {
        ..=14 => "pg_start_backup(text, boolean, boolean), pg_stop_backup(boolean, boolean)",
        _ => "pg_backup_start(text, boolean), pg_backup_stop(boolean)",
    }
}

for_each_version! {
    fn files_are_read_where_the_role_may_run_a_backup(version) {
        let site = Site::builder(version).option("pg1-user", "keeper").build_without_stanza();
        site.primary.sql("create role keeper login replication");
        site.primary.sql("grant pg_read_all_settings to keeper");
        site.run(&["stanza-create"]).ok();
        rows(&site);
        let (said, source) = take(&site, "full", &[]);
        assert!(said.contains(STREAM) && said.contains("may not run pg_"), "{said}");
        assert_eq!(source, "stream");
        let refused = site.run(&["--type=full", "--backup-source=local", "backup"]);
        refused.code(exit::DB_QUERY).says("may not run pg_").says("HINT: as a superuser, in database");

        site.primary.sql(&format!("grant execute on function {} to keeper", backup_functions(version)));
        site.primary.sql("alter role keeper noreplication");
        let (said, source) = take(&site, "full", &[]);
        assert!(said.contains(FILES), "{said}");
        assert_eq!(source, "local");
        site.run(&[&format!("--set={}", site.last_label()), "info"]).ok().says("source: local");
        every_backup_comes_back(&site);
    }

    fn both_sources_go_together_in_a_chain(version) {
        let site = Site::new(version);
        rows(&site);
        take(&site, "full", &["--backup-source=stream"]);
        for (round, source) in ["local", "local", "stream", "local"].into_iter().enumerate() {
            change(&site, round as u32 + 1);
            let option = format!("--backup-source={source}");
            let (said, used) = take(&site, "incr", &[&option]);
            assert_eq!(used, source);
            // Of a stream nobody knows when a file was read.
            let unknown = said.contains("was not read from a data directory");
            assert_eq!(unknown, [0, 3].contains(&round), "{round}: {said}");
            assert!(newest(&site)["info"]["delta"].as_u64().expect("bytes") > 0);
        }
        every_backup_comes_back(&site);
    }

    fn tables_that_come_and_go_while_files_are_read(version) {
        let site = Site::new(version);
        rows(&site);
        let options = ["--type=full", "--backup-source=local", "--max-rate=8192", "backup"];
        let mut backup = site.spawn(&options);
        let mut round = 0;
        while backup.running() {
            round += 1;
            site.primary.sql(&format!("create table passing{round} as select g from generate_series(1, 3000) g"));
            site.primary.sql(&format!("update still set id = id + 1 where id % 97 = {}", round % 97));
            site.primary.sql("checkpoint");
            site.primary.sql(&format!("truncate passing{round}"));
            site.primary.sql(&format!("drop table passing{round}"));
        }
        backup.finish().ok();
        assert!(round > 3, "the backup was over after {round} rounds");
        every_backup_comes_back(&site);
    }
}

for_each_fixed_version! {
    fn a_server_takes_the_manifest_of_a_backup_that_read_files(version) {
        let site = Site::builder(version).setting("summarize_wal", "on").build();
        rows(&site);
        take(&site, "full", &["--backup-source=local"]);
        for (round, source) in ["stream", "local", "stream"].into_iter().enumerate() {
            change(&site, round as u32 + 1);
            take(&site, "incr", &[&format!("--backup-source={source}")]);
            let backup = newest(&site);
            assert_eq!(backup["note"][0], TOLD, "{source}: {backup}");
        }
        every_backup_comes_back(&site);
    }

    fn a_role_that_may_not_read_summaries_has_blocks_compared(version) {
        let site = Site::builder(version)
            .setting("summarize_wal", "on")
            .option("pg1-user", "keeper")
            .build_without_stanza();
        site.primary.sql("create role keeper login");
        site.primary.sql("grant pg_read_all_settings to keeper");
        site.primary.sql(&format!("grant execute on function {} to keeper", backup_functions(version)));
        site.run(&["stanza-create"]).ok();
        rows(&site);
        take(&site, "full", &["--backup-source=local"]);
        change(&site, 1);
        let contents = "pg_catalog.pg_wal_summary_contents(bigint, pg_lsn, pg_lsn)";
        site.primary.sql(&format!("revoke execute on function {contents} from public"));
        let (said, _) = take(&site, "diff", &["--backup-source=local"]);
        assert!(said.contains("permission denied"), "{said}");
        assert!(newest(&site)["label"].as_str().expect("label").ends_with('D'));
        every_backup_comes_back(&site);
    }
}

/// Flips a byte of a table's last page behind the server's back, keeping the file's times.
fn rot(site: &Site, table: &str) -> String {
    let path = site.primary.value(&format!("select pg_relation_filepath('{table}')"));
    site.primary.stop();
    let file = site.primary.data_dir.join(&path);
    let before = std::fs::metadata(&file).expect("the relation's file");
    let open = OpenOptions::new().read(true).write(true).open(&file).expect("writable");
    let at = before.len() - 100;
    let mut byte = [0];
    open.read_exact_at(&mut byte, at).expect("inside");
    open.write_all_at(&[byte[0] ^ 0x55], at).expect("inside");
    set_modified(&open, before.modified().expect("a time"));
    site.primary.start();
    path
}

fn set_modified(file: &File, time: SystemTime) {
    file.set_times(FileTimes::new().set_modified(time)).expect("own file");
}

on_one_version! {
    fn a_diff_does_not_read_what_has_its_size_and_time(version) {
        let site = Site::new(version);
        rows(&site);
        // Times count from the second of the checkpoint before the full.
        std::thread::sleep(Duration::from_millis(3100));
        take(&site, "full", &[]);
        let rotten = rot(&site, "still");
        let (said, _) = take(&site, "diff", &[]);
        assert!(!said.contains(&rotten), "the file was read: {said}");
        assert_eq!(newest(&site)["error"], false);
        let (said, _) = take(&site, "diff", &["--delta"]);
        assert!(said.contains(&rotten), "the file was not read: {said}");
        assert_eq!(newest(&site)["error"], true);
    }

    fn a_clock_that_went_back_has_everything_read(version) {
        let site = Site::new(version);
        rows(&site);
        std::thread::sleep(Duration::from_millis(3100));
        take(&site, "full", &[]);
        let path = site.primary.value("select pg_relation_filepath('kept')");
        let file = site.primary.data_dir.join(&path);
        let earlier = SystemTime::now() - Duration::from_secs(86_400);
        set_modified(&OpenOptions::new().write(true).open(&file).expect("own file"), earlier);
        let rotten = rot(&site, "still");
        let (said, _) = take(&site, "diff", &[]);
        assert!(said.contains("all files are read and compared"), "{said}");
        assert!(said.contains("has an earlier modification time than in the prior backup"), "{said}");
        assert!(said.contains(&rotten), "the file was not read: {said}");
    }

    fn a_directory_that_is_not_the_servers_is_not_read(version) {
        let site = site_without_settings(version);
        rows(&site);
        let copy = site.dir.path().join("copy");
        let copied = std::process::Command::new("cp").arg("-a").arg(&site.primary.data_dir).arg(&copy).status();
        assert!(copied.expect("cp runs").success());
        let path = format!("--pg1-path={}", copy.display());
        // The copy is as the server left it a moment ago; after another checkpoint it is not.
        site.primary.sql("checkpoint");
        let (said, source) = take(&site, "full", &[&path]);
        assert!(said.contains("is not the server's"), "{said}");
        assert_eq!(source, "stream");
        std::fs::remove_file(copy.join("postmaster.pid")).expect("it is there");
        let (said, _) = take(&site, "full", &[&path]);
        assert!(said.contains(STREAM) && said.contains("postmaster.pid"), "{said}");
    }

    /// Regression: a copy that is made just before the backup has the server's last checkpoint too; the
    /// checkpoint of the backup's start tells them apart.
    fn a_fresh_copy_is_found_out_when_the_backup_has_begun(version) {
        let site = site_without_settings(version);
        rows(&site);
        let copy = site.dir.path().join("copy");
        let copied = std::process::Command::new("cp").arg("-a").arg(&site.primary.data_dir).arg(&copy).status();
        assert!(copied.expect("cp runs").success());
        let path = format!("--pg1-path={}", copy.display());
        let outcome = site.run(&["--type=full", &path, "backup"]);
        outcome.failed().says("does not have the checkpoint").says("--backup-source=stream");
        assert!(site.labels().is_empty());
    }

    fn a_file_that_may_not_be_read_is_named(version) {
        let site = Site::new(version);
        let file = site.primary.data_dir.join("private");
        std::fs::write(&file, "x").expect("own directory");
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o000)).expect("own file");
        let outcome = site.run(&["--type=full", "backup"]).failed();
        outcome.says("private").says("--backup-source=stream");
        std::fs::remove_file(&file).expect("own file");
        write_file(&site.primary.data_dir.join("public"), "x");
        site.full_backup(&[]);
        wait_until("the sessions are gone", 10, || {
            site.primary.value("select count(*) from pg_stat_activity where application_name = 'pgstrata'") == "0"
        });
    }
}
