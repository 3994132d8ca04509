//! `repo-sync`: what is copied restores by itself, nothing is copied twice, and nothing half or damaged exists.

use std::{fs, path::PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Damage, Outcome, Restored, Site, Version, exit, on_one_version, wait_until};

const SYNC: [&str; 3] = ["--from=1", "--to=2", "repo-sync"];

/// A site that backs up to one repository, and a second that nothing is pushed to.
fn site(version: Version) -> Site {
    let site = Site::new(version);
    let second = site.dir.make("repo2");
    let text = fs::read_to_string(site.config_file()).expect("written");
    // Only this command knows of the second repository: WAL goes to the first.
    let both = text
        .replace("[db]", &format!("[global:repo-sync]\nrepo2-path={}\n\n[db]", second.display()));
    crate::support::write_file(&site.config_file(), &both);
    site
}

fn sync(site: &Site, options: &[&str]) -> Outcome {
    site.run(&[&SYNC[..], options].concat())
}

fn json(site: &Site, options: &[&str]) -> Value {
    let outcome = sync(site, &[options, &["--output=json"]].concat()).ok();
    let all: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    all[0].clone()
}

fn labels(report: &Value) -> Vec<String> {
    let backups = report["backup"].as_array().expect("list");
    backups.iter().map(|backup| backup["label"].as_str().expect("text").to_owned()).collect()
}

/// The option that makes the second repository the only one.
fn second(site: &Site) -> String {
    format!("--repo1-path={}", site.dir.path().join("repo2").display())
}

fn backup(site: &Site, kind: &str) -> String {
    site.primary
        .sql("create table if not exists t (n int); insert into t select generate_series(1, 1000)");
    site.run(&[&format!("--type={kind}"), "backup"]).ok();
    site.last_label()
}

fn restored(site: &Site, name: &str, options: &[&str]) -> Restored {
    site.restore(name, &[&[second(site).as_str()], options].concat())
}

fn in_second(site: &Site) -> Vec<PathBuf> {
    site.repository_files(&site.dir.path().join("repo2").display().to_string())
}

/// The configuration of the page, with the places of this test in it.
fn documented(site: &Site) -> String {
    let page = include_str!("../../docs/several-repositories.md");
    let start = page.find("```ini\n").expect("a block of configuration") + 7;
    let block = &page[start..start + page[start..].find("```").expect("its end")];
    let path = |path: PathBuf| path.display().to_string();
    let block = block
        .replace("/var/lib/pgstrata", &path(site.repository()))
        .replace("/mnt/elsewhere/pgstrata", &path(site.dir.make("repo2")))
        .replace("/var/lib/postgresql/15/main", &path(site.primary.data_dir.clone()));
    let text = fs::read_to_string(site.config_file()).expect("written");
    let is_of_test = |line: &&str| {
        line.contains('=') && !line.starts_with("repo1-path") && !line.starts_with("pg1-path")
    };
    let rest: Vec<&str> = text.lines().filter(is_of_test).collect();
    format!("{block}\n{}\n", rest.join("\n"))
}

on_one_version! {
    fn the_page_is_right(version) {
        let site = Site::new(version);
        let config = documented(&site);
        crate::support::write_file(&site.config_file(), &config);
        site.run(&["stanza-create"]).ok();
        site.run(&["check"]).ok();
        let label = backup(&site, "full");
        sync(&site, &[]).ok().says(&label);
        site.primary.archive_wal();
        let expected = site.primary.fingerprint();
        let copy = site.restore("r", &["--repo=2"]).verified().start_primary();
        assert_eq!(copy.fingerprint(), expected);
        let info = site.info();
        assert_eq!(info["status"]["code"], 0, "{info}");
    }

    fn the_copy_alone_recovers_to_any_point(version) {
        let site = site(version);
        let mut all = vec![backup(&site, "full"), backup(&site, "diff"), backup(&site, "incr")];
        let set = format!("--set={}", all[0]);
        site.run(&[&set, "keep"]).ok();
        site.run(&[&set, "--annotation=why=test", "annotate"]).ok();
        site.wait_for_the_next_second();
        let target = site.primary.value("select clock_timestamp()");
        let expected = site.primary.fingerprint();
        site.primary.sql("insert into t values (0)");
        site.primary.archive_wal();
        let latest = site.primary.fingerprint();

        sync(&site, &["--dry-run"]).ok().says("to copy").says(&all[2]);
        assert!(in_second(&site).is_empty(), "a dry run writes nothing");
        let report = json(&site, &[]);
        assert_eq!(labels(&report), all, "{report}");
        assert!(report["wal"]["files"].as_u64().is_some_and(|files| files >= 4), "{report}");
        let again = json(&site, &[]);
        assert!(labels(&again).is_empty() && again["wal"]["files"] == 0, "{again}");
        all.push(backup(&site, "incr"));
        assert_eq!(labels(&json(&site, &[])), all[3..]);

        let away = site.dir.path().join("away");
        fs::rename(site.repository(), &away).expect("writable");
        site.run(&[&second(&site), "verify"]).ok();
        site.run(&[&second(&site), "info"]).ok().says("keep: until removed");
        let time = format!("--target={target}");
        let copy = restored(&site, "r1", &["--type=time", &time, "--target-action=promote"]);
        assert_eq!(copy.verified().start_primary().fingerprint(), expected);
        let copy = restored(&site, "r2", &[&set]);
        let newest = copy.verified().start_primary();
        assert!(newest.fingerprint() != expected && latest != expected);
        fs::rename(&away, site.repository()).expect("writable");
    }

    fn a_copy_that_was_killed_is_invisible_and_goes_on(version) {
        let site = site(version);
        site.primary.sql("create table bulk as select g, md5(g::text) from generate_series(1, 400000) g");
        let label = backup(&site, "full");
        let mut command = site.spawn(&SYNC);
        let directory = site.dir.path().join("repo2/backup/db").join(&label);
        wait_until("the copy has begun", 30, || !command.running() || directory.exists());
        command.signal(Signal::KILL);
        if !directory.join("manifest").exists() {
            site.run(&[&second(&site), "info"]).ok().never_says(&label);
        }
        sync(&site, &[]).ok();
        site.run(&[&second(&site), "verify"]).ok();
        let copy = restored(&site, "r", &["--type=immediate", "--target-action=promote"]);
        copy.verified().start_primary();
    }

    fn what_is_damaged_is_named_and_not_copied(version) {
        let site = site(version);
        let first = backup(&site, "full");
        site.wait_for_the_next_second();
        let second_label = backup(&site, "full");
        let objects = site.repository_files(&format!("backup/db/{first}/bundle"));
        Damage::FlipAt(500).during(&objects[0], || {
            let name = format!("{first}/bundle/00000001");
            sync(&site, &[]).code(exit::CHECKSUM).says(&name).says(&second_label);
            site.run(&[&second(&site), "info"]).ok().never_says(&first).says(&second_label);
        });
        sync(&site, &[]).ok();
        site.run(&[&second(&site), "info"]).ok().says(&first);
        site.primary.sql("insert into t values (7)");
        let segment = site.primary.archive_wal();
        Damage::FlipAt(500).during(&site.archived(&segment)[0], || {
            sync(&site, &[]).failed().says(&segment);
        });
        sync(&site, &[]).ok();
        site.run(&[&second(&site), "verify"]).ok();
    }

    fn retention_of_the_target_says_what_is_worth_copying(version) {
        let site = site(version);
        let first = backup(&site, "full");
        site.wait_for_the_next_second();
        let last = backup(&site, "full");
        let retention = "--repo2-retention-full=1";
        let report = json(&site, &[retention]);
        assert_eq!(labels(&report), [last]);
        assert_eq!(report["skipped"][0]["label"], first.as_str());
        let set = format!("--set={first}");
        assert_eq!(labels(&json(&site, &[retention, &set])), [first]);
        // What is there is expire's to remove.
        sync(&site, &[retention]).ok();
        assert_eq!(site.run(&[&second(&site), "info"]).ok().stdout.matches("full backup").count(), 2);
    }

    fn two_different_repositories_must_be_named(version) {
        let site = site(version);
        site.run(&["repo-sync"]).code(exit::OPTION_REQUIRED).says("from");
        site.run(&["--from=1", "repo-sync"]).code(exit::OPTION_REQUIRED).says("to");
        site.run(&["--from=1", "--to=1", "repo-sync"]).code(exit::OPTION_INVALID_VALUE);
        site.run(&["--from=1", "--to=3", "repo-sync"]).code(exit::OPTION_INVALID_VALUE);
        // One place is no two copies, by whatever path it is named.
        let same = format!("--repo2-path={}", site.repository().display());
        sync(&site, &[&same]).code(exit::OPTION_INVALID_VALUE).says("repo1");
        let link = site.dir.path().join("link");
        std::os::unix::fs::symlink(site.repository(), &link).expect("writable");
        let linked = format!("--repo2-path={}", link.display());
        sync(&site, &[&linked]).code(exit::OPTION_INVALID_VALUE).says("are one directory");
        // A source that is not mounted is an empty directory.
        let empty = format!("--repo1-path={}", site.dir.make("empty").display());
        let mut all = site.bare_command(&[&SYNC[..], &[&empty]].concat());
        crate::support::run(&mut all).code(exit::FILE_MISSING).says("has no stanza").says("HINT");
        let mut all = site.bare_command(&SYNC);
        crate::support::run(&mut all).ok().says("stanza: db");
        site.run(&["stop"]).ok();
        sync(&site, &[]).code(exit::STOP);
        site.run(&["start"]).ok();
    }
}
