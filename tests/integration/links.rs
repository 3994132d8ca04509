//! Symbolic links in the data directory: what is behind them comes back, or the backup says that it lacks it.

use std::{fs, os::unix::fs::symlink, path::Path};

use serde_json::Value;

use crate::support::{
    Cluster, Restored, Site, TestDir, Version, exit, give_to_server_user, tests_with, write_file,
};

const LINKED: [&str; 5] = ["base", "pg_xact", "pg_wal", "postgresql.conf", "pg_hba.conf"];
const LOCAL: &str = "--backup-source=local";
const STREAM: &str = "--backup-source=stream";

/// Moves an entry of the data directory elsewhere, behind a link.
fn move_behind_link(data_dir: &Path, elsewhere: &Path, name: &str) {
    let target = elsewhere.join(name.replace('/', "-"));
    fs::rename(data_dir.join(name), &target).expect("writable");
    symlink(&target, data_dir.join(name)).expect("writable");
}

/// A link to a directory of logs, which is none of PostgreSQL's own.
fn link_logs(cluster: &Cluster, dir: &TestDir) {
    let logs = dir.make("elsewhere").join("log");
    fs::create_dir(&logs).expect("writable");
    write_file(&logs.join("today"), "a line\n");
    give_to_server_user(&logs);
    symlink(&logs, cluster.data_dir.join("log")).expect("writable");
}

fn rows(site: &Site) {
    site.primary.sql("create table t as select g, md5(g::text) m from generate_series(1, 20000) g");
    site.primary.sql("create table moved as select g from generate_series(1, 20000) g");
    site.primary.sql("checkpoint");
}

/// Moves the file of a table behind a link, which the server does not mind.
fn link_relation(site: &Site) -> String {
    let file = site.primary.value("select pg_relation_filepath('moved')");
    move_behind_link(&site.primary.data_dir, &site.dir.path().join("elsewhere"), &file);
    file
}

fn newest(site: &Site) -> Value {
    let set = format!("--set={}", site.last_label());
    let outcome = site.run(&[&set, "--output=json", "info"]).ok();
    let info: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    info[0]["backup"][0].clone()
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).expect("it is there").is_symlink()
}

/// A site with links of every kind, and a chain of two backups that followed them.
fn linked(version: Version) -> Site {
    let site = Site::builder(version)
        .prepare(|cluster, dir| {
            let elsewhere = dir.make("elsewhere");
            LINKED.iter().for_each(|name| move_behind_link(&cluster.data_dir, &elsewhere, name));
            link_logs(cluster, dir);
        })
        .build();
    rows(&site);
    link_relation(&site);
    site.full_backup(&[LOCAL]);
    site.primary.sql("update moved set g = g + 1 where g % 1000 = 7");
    site.primary.sql("create table later as select 1 one");
    site.run(&["--type=incr", LOCAL, "--log-level-stderr=info", "backup"])
        .ok()
        .says("following link 'base' to")
        .never_says("left out");
    site.primary.archive_wal();
    site
}

tests_with! {
    [pg13: new(13), pg15: new(15), pg18: new(18)]

    fn what_is_behind_links_comes_back(version) {
        let site = linked(version);
        let expected = site.primary.fingerprint();
        site.run(&["verify"]).ok();
        let newest = newest(&site);
        assert_eq!(newest["error"], false);
        let links = newest["link"].as_array().expect("links");
        assert!(links.iter().any(|link| {
            let destination = link["destination"].as_str().expect("text");
            link["name"] == "log" && destination.ends_with("/elsewhere/log")
        }), "{links:?}");

        let plain = site.restore("plain", &[]).verified();
        for name in LINKED.iter().chain(&["log"]) {
            assert!(!is_link(&plain.path().join(name)), "{name}");
        }
        assert_eq!(fs::read_to_string(plain.path().join("log/today")).expect("a log"), "a line\n");
        let plain = plain.start_primary();
        assert_eq!(plain.fingerprint(), expected);
        plain.stop();

        let occupied = site.dir.make("occupied");
        site.restore_into(&occupied, &["--link-all"]).code(exit::PATH_NOT_EMPTY);
        assert_eq!(fs::read_dir(&occupied).expect("directory").count(), 0);

        let new = site.dir.make("new");
        let maps: Vec<String> = LINKED.iter().chain(&["log"])
            .map(|name| format!("--link-map={name}={}", new.join(name).display()))
            .collect();
        let options: Vec<&str> = maps.iter().map(String::as_str).collect();
        let outcome = site.restore_into(&occupied, &[&options[..], &["--dry-run"]].concat()).ok();
        assert!(outcome.stdout.contains(&format!("link: base -> {}", new.join("base").display())), "{outcome}");
        let mapped = site.restore("mapped", &options).verified();
        for name in LINKED.iter().chain(&["log"]) {
            assert_eq!(fs::read_link(mapped.path().join(name)).expect("a link"), new.join(name));
        }
        assert_eq!(mapped.start_primary().fingerprint(), expected);
    }
}

tests_with! {
    [pg15: new(15)]

    fn links_are_made_again_and_a_delta_leaves_them(version) {
        let site = linked(version);
        let expected = site.primary.fingerprint();
        site.primary.stop();
        let (data_dir, elsewhere) = (&site.primary.data_dir, site.dir.path().join("elsewhere"));
        fs::remove_dir_all(data_dir).expect("writable");
        fs::remove_dir_all(&elsewhere).expect("writable");
        site.dir.make("data");
        site.dir.make("elsewhere");
        site.restore_into(data_dir, &["--link-all"]).ok();
        let restored = Restored::new(version, data_dir).verified().start_primary();
        assert_eq!(restored.fingerprint(), expected);
        restored.stop();

        fs::write(elsewhere.join("base").join("stale"), "").expect("writable");
        // The data directory has the links, also those that the options ask for.
        let planned = site.restore_into(data_dir, &["--delta", "--dry-run"]).ok();
        let place = format!("{}, named by ", elsewhere.join("base").display());
        planned.says(&format!("{place}a link of the data directory")).never_says("an option");
        site.restore_into(data_dir, &["--delta"]).ok();
        for name in LINKED.iter().chain(&["log"]) {
            assert_eq!(fs::read_link(data_dir.join(name)).expect("a link"), elsewhere.join(name));
        }
        assert!(!elsewhere.join("base/stale").exists());
        let restored = Restored::new(version, data_dir).verified().start_primary();
        assert_eq!(restored.fingerprint(), expected);
    }

    fn links_that_no_backup_can_follow_are_refused_before_it_begins(version) {
        let site = Site::new(version);
        let data_dir = &site.primary.data_dir;
        let oid = site.primary.value("select oid from pg_database where datname = 'postgres'");
        for (name, words) in [
            (format!("base/{oid}"), "points to another path in the data directory"),
            ("pg_tblspc".to_owned(), "is a symbolic link, so no backup contains the tablespace links"),
        ] {
            site.primary.stop();
            let (at, moved) = (data_dir.join(&name), data_dir.join("moved"));
            fs::rename(&at, &moved).expect("writable");
            symlink(&moved, &at).expect("writable");
            site.primary.start();
            for arguments in [&["check"][..], &["--type=full", "backup"], &[LOCAL, "check"]] {
                let refused = site.run(arguments).code(exit::LINK_DESTINATION);
                refused.says(words).says("HINT: ").never_says("backup begins");
            }
            site.primary.stop();
            fs::remove_file(&at).expect("own link");
            fs::rename(&moved, &at).expect("writable");
            site.primary.start();
        }
        site.full_backup(&[]);
    }

    fn a_link_that_this_process_cannot_follow_is_no_success(version) {
        let site = Site::new(version);
        let data_dir = &site.primary.data_dir;
        symlink("/no such mount", data_dir.join("conf.d")).expect("writable");
        site.run(&["--type=full", LOCAL, "backup"]).ok().says("'conf.d' points to what this process");
        assert_eq!(newest(&site)["error-list"], serde_json::json!(["conf.d"]));
        symlink("/no such mount", data_dir.join("base/mine")).expect("writable");
        site.run(&["--type=full", LOCAL, "backup"]).code(exit::FILE_OPEN).says("base/mine").says("HINT");
        assert_eq!(site.labels().len(), 1);
    }

    fn configuration_outside_is_said_and_no_error(version) {
        let site = Site::builder(version)
            .prepare(|cluster, dir| {
                let outside = dir.make("etc").join("pg_hba.conf");
                fs::rename(cluster.data_dir.join("pg_hba.conf"), &outside).expect("writable");
                let conf = cluster.data_dir.join("postgresql.conf");
                let text = fs::read_to_string(&conf).expect("readable");
                write_file(&conf, &format!("{text}\nhba_file = '{}'\n", outside.display()));
            })
            .build();
        let outcome = site.run(&["--type=full", "--log-level-stderr=info", "backup"]).ok();
        assert!(outcome.stderr.contains("outside of the data directory: "), "{outcome}");
        assert_eq!(newest(&site)["error"], false);
    }
}

tests_with! {
    [pg13: new(13), pg15: new(15), pg18: new(18)]

    fn a_stream_without_links_says_what_it_lacks_or_fails(version) {
        let site = Site::builder(version)
            .prepare(|cluster, dir| {
                link_logs(cluster, dir);
                move_behind_link(&cluster.data_dir, &dir.make("elsewhere"), "pg_hba.conf");
            })
            .build();
        rows(&site);
        site.run(&["--type=full", STREAM, "backup"]).ok().says("2 links of the data directory");
        let backup = newest(&site);
        assert_eq!(backup["error"], true);
        assert_eq!(backup["error-list"], serde_json::json!(["log", "pg_hba.conf"]));
        site.restore("r", &["--dry-run"]);

        let file = link_relation(&site);
        let refused = site.run(&["--type=full", STREAM, "backup"]).code(exit::LINK_DESTINATION);
        refused.says(&file).says("backup-source=local");
        assert_eq!(site.labels().len(), 1);
    }
}

tests_with! {
    [
        pg13: new(13), pg15: new(15), pg16: new(16),
    ]

    fn tablespaces_made_in_place_come_back(version) {
        let site = Site::builder(version).setting("allow_in_place_tablespaces", "on").build();
        let location = site.dir.make("a space");
        site.primary.sql("create tablespace inside location ''");
        site.primary.sql(&format!("create tablespace outside location '{}'", location.display()));
        site.primary.sql("create table i tablespace inside as select g from generate_series(1, 9999) g");
        site.primary.sql("create table o tablespace outside as select g from generate_series(1, 9999) g");
        let expected = site.primary.fingerprint();
        for source in [STREAM, LOCAL] {
            site.full_backup(&[source]);
            site.primary.archive_wal();
            let map = format!("--tablespace-map=outside={}", site.dir.make(&format!("new{source}")).display());
            let restored = site.restore(&format!("r{source}"), &[&map]).verified();
            let restored = restored.setting("allow_in_place_tablespaces", "on").start_primary();
            assert_eq!(restored.fingerprint(), expected, "{source}");
        }
    }
}
