//! Differential and incremental backups: what they hold, what they build on, and that every backup of a
//! chain comes back to the byte.

use crate::support::{
    Damage, Site, WriteLoad, exit, for_each_fixed_version, for_each_fixed_version_and_source,
    for_each_source, for_each_version_and_source, pg_amcheck,
};

/// Takes a backup of a type and returns its label.
fn take(site: &Site, kind: &str) -> String {
    site.run(&[&format!("--type={kind}"), "backup"]).ok();
    site.last_label()
}

/// The entry of a backup in `info`.
fn info_of(site: &Site, label: &str) -> serde_json::Value {
    let info = site.info();
    let backups = info["backup"].as_array().expect("list").clone();
    backups.into_iter().find(|backup| backup["label"] == label).expect("it is listed")
}

/// What a busy database goes through between two backups.
fn churn(site: &Site, round: u32) {
    let sql = |text: &str| site.primary.sql(text);
    sql(&format!("update kept set body = 'round {round}' where id % 97 = {round}"));
    sql("delete from shrinks where id > (select max(id) / 2 from shrinks)");
    sql("vacuum shrinks");
    sql(&format!(
        "insert into grows select g, repeat('{round}', 200) from generate_series(1, 3000) g"
    ));
    sql("vacuum full rewritten");
    sql("truncate emptied");
    sql(&format!("insert into emptied select g, 'round {round}' from generate_series(1, 500) g"));
    sql(&format!("create table new_{round} as select g from generate_series(1, 1000) g"));
    if round > 1 {
        sql(&format!("drop table new_{}", round - 1));
    }
    sql(&format!("create database copy_{round} template template1"));
}

fn tables(site: &Site) {
    for name in ["kept", "shrinks", "grows", "rewritten", "emptied"] {
        site.primary.sql(&format!("create table {name} (id int primary key, body text)"));
        let fill = "select g, md5(g::text) || repeat('x', 100) from generate_series(1, 8000) g";
        site.primary.sql(&format!("insert into {name} {fill}"));
        site.primary.sql(&format!("alter table {name} drop constraint {name}_pkey"));
        site.primary.sql(&format!("create index on {name} (id)"));
    }
}

for_each_version_and_source! {
    fn every_backup_of_a_chain_comes_back(version) {
        let site = Site::new(version);
        tables(&site);
        let mut load = Some(WriteLoad::start(&site.primary));
        let mut labels = vec![take(&site, "full")];
        for (round, kind) in ["diff", "incr", "incr", "diff", "incr"].into_iter().enumerate() {
            churn(&site, round as u32 + 1);
            labels.push(take(&site, kind));
            // Every restore below replays what was written: two backups under load are enough.
            load = load.filter(|_| round == 0);
        }
        let expected = site.primary.fingerprint();
        site.primary.archive_wal();
        assert_eq!(site.labels(), labels);
        for (number, label) in labels.iter().enumerate() {
            let set = format!("--set={label}");
            let restored = site.restore(&format!("r{number}"), &[&set]).verified().start_primary();
            assert_eq!(restored.fingerprint(), expected, "{label}");
            pg_amcheck(&restored);
            restored.stop();
        }
    }

    fn only_what_changed_is_stored(version) {
        let site = Site::new(version);
        tables(&site);
        site.primary.sql("checkpoint");
        let full = take(&site, "full");
        site.primary.sql("update kept set body = 'x' where id = 4711");
        let diff = take(&site, "diff");
        let incr = take(&site, "incr");
        assert!(diff.starts_with(&full) && diff.ends_with('D'), "{diff}");
        assert!(incr.starts_with(&full) && incr.ends_with('I'), "{incr}");
        let (of_full, of_diff, of_incr) =
            (info_of(&site, &full), info_of(&site, &diff), info_of(&site, &incr));
        assert_eq!(of_diff["prior"], full);
        assert_eq!(of_diff["reference"], serde_json::json!([full]));
        assert_eq!(of_incr["prior"], diff);
        assert_eq!(of_incr["reference"], serde_json::json!([full, diff]));
        let stored = |of: &serde_json::Value| of["info"]["repository"]["delta"].as_u64().expect("size");
        assert!(stored(&of_diff) * 20 < stored(&of_full), "{} of {}", stored(&of_diff), stored(&of_full));
        let changed = of_diff["info"]["delta"].as_u64().expect("size");
        assert!(changed < 300_000, "{changed} bytes for one row");
        assert!(of_diff["info"]["size"].as_u64() > Some(20_000_000), "{of_diff}");
    }
}

for_each_source! {
    fn without_a_type_an_incr_is_made(version) {
        let site = Site::new(version);
        site.run(&["backup"]).ok().says("no prior backup exists, incr backup has been changed to full");
        let full = site.last_label();
        let note = &info_of(&site, &full)["note"][0];
        assert_eq!(note, "full backup, because no prior backup exists");
        site.run(&["backup"]).ok();
        assert!(site.last_label().ends_with('I'), "{}", site.last_label());
    }

    fn a_diff_does_not_build_on_an_incr(version) {
        let site = Site::new(version);
        let full = take(&site, "full");
        take(&site, "incr");
        let diff = take(&site, "diff");
        assert_eq!(info_of(&site, &diff)["reference"], serde_json::json!([full]));
    }

    fn a_prior_that_cannot_be_read_makes_a_full_that_says_so(version) {
        let site = Site::new(version);
        let full = take(&site, "full");
        let files = site.repository().join(format!("backup/db/{full}/files"));
        Damage::FlipAt(500).during(&files, || {
            let outcome = site.run(&["--type=diff", "backup"]).ok();
            outcome.says("diff backup has been changed to full");
        });
        let label = site.last_label();
        assert!(label.ends_with('F') && label != full, "{label}");
        let note = info_of(&site, &label)["note"][0].to_string();
        assert!(note.contains(&full), "{note}");
    }

    fn a_damaged_map_costs_the_files_it_is_of_and_nothing_else(version) {
        let site = Site::new(version);
        tables(&site);
        let full = take(&site, "full");
        let map = site.repository().join(format!("backup/db/{full}/map/00000001"));
        Damage::FlipAt(500).during(&map, || {
            // Files that are not read need no map.
            let outcome = site.run(&["--type=diff", "--delta", "backup"]).ok();
            outcome.says("because the prior backup is damaged");
        });
        site.primary.archive_wal();
        let restored = site.restore("r", &[]).verified().start_primary();
        assert_eq!(restored.fingerprint(), site.primary.fingerprint());
    }

    fn after_a_stanza_upgrade_a_full_is_made(version) {
        let site = Site::builder(version).own_initdb().build();
        take(&site, "full");
        site.primary.stop();
        let other = site.foreign_cluster("other");
        let (old, new) = (&site.primary.data_dir, &other.data_dir);
        let aside = site.dir.path().join("aside");
        std::fs::rename(old, &aside).expect("own directory");
        let settings = std::fs::read_to_string(aside.join("postgresql.conf")).expect("settings");
        std::fs::write(new.join("postgresql.conf"), settings).expect("own file");
        std::fs::rename(new, old).expect("own directory");
        site.primary.start();
        site.run(&["--type=diff", "backup"]).code(exit::BACKUP_MISMATCH);
        site.run(&["stanza-upgrade"]).ok();
        site.run(&["--type=diff", "backup"]).ok().says("diff backup has been changed to full");
        let label = site.last_label();
        assert!(label.ends_with('F'), "{label}");
        site.run(&["--type=diff", "backup"]).ok();
        assert!(site.last_label().starts_with(&label), "{}", site.last_label());
    }

    fn a_chain_without_its_parent_is_refused_before_anything_is_touched(version) {
        let site = Site::new(version);
        let full = take(&site, "full");
        let diff = take(&site, "diff");
        site.primary.archive_wal();
        let manifest = site.repository().join(format!("backup/db/{full}/manifest"));
        Damage::Gone.during(&manifest, || {
            let target = site.dir.make("r");
            let outcome = site.restore_into(&target, &[&format!("--set={diff}")]);
            assert_ne!(outcome.code, 0);
            outcome.says(&full);
            assert_eq!(std::fs::read_dir(&target).expect("there").count(), 0);
        });
    }
}

/// The way of each backup to find out what has changed, as `info` tells it.
fn note_of(site: &Site, label: &str) -> String {
    info_of(site, label)["note"].as_array().map_or(String::new(), |notes| {
        notes.iter().map(|note| note.as_str().expect("text")).collect::<Vec<_>>().join("; ")
    })
}

const TOLD: &str = "changes found in the server's WAL summaries";

fn summarize(site: &Site, on: bool) {
    site.primary
        .sql(&format!("alter system set summarize_wal = {}", if on { "on" } else { "off" }));
    site.primary.sql("select pg_reload_conf()");
    let is_on = if on { "on" } else { "off" };
    site.primary.wait_for_value("show summarize_wal", is_on, 20);
}

for_each_fixed_version_and_source! {
    fn what_the_server_tells_and_what_is_compared_go_together(version) {
        let site = Site::builder(version).setting("summarize_wal", "on").build();
        tables(&site);
        let mut load = Some(WriteLoad::start(&site.primary));
        let mut labels = vec![take(&site, "full")];
        let mut told = vec![false];
        let steps = [("diff", true), ("incr", true), ("incr", false), ("incr", true), ("diff", true)];
        for (round, (kind, on)) in steps.into_iter().enumerate() {
            summarize(&site, on);
            churn(&site, round as u32 + 1);
            labels.push(take(&site, kind));
            told.push(note_of(&site, &labels[round + 1]).contains(TOLD));
            load = load.filter(|_| round == 0);
        }
        // While summaries were off none were made: the backup after it cannot rely on them.
        assert!(told[1] && told[2] && !told[3], "{told:?}");
        let expected = site.primary.fingerprint();
        site.primary.archive_wal();
        for (number, label) in labels.iter().enumerate() {
            let set = format!("--set={label}");
            let restored = site.restore(&format!("r{number}"), &[&set]).verified().start_primary();
            assert_eq!(restored.fingerprint(), expected, "{label}: {told:?}");
            pg_amcheck(&restored);
            restored.stop();
        }
    }

    fn single_databases_of_what_the_server_told_come_back(version) {
        let site = Site::builder(version).setting("summarize_wal", "on").build();
        site.primary.sql("create database wanted");
        site.primary.sql("create database other");
        tables(&site);
        take(&site, "full");
        churn(&site, 1);
        let label = take(&site, "diff");
        assert!(note_of(&site, &label).contains(TOLD), "{}", note_of(&site, &label));
        let rows = "select count(*) || ' ' || sum(hashtext(body)) from kept";
        let expected = site.primary.value(rows);
        site.primary.archive_wal();
        let restored = site.restore("r", &["--db-include=wanted"]).start_primary();
        assert_eq!(restored.value(rows), expected);
        restored.sql("drop database other");
    }

    fn removed_summaries_are_said_and_blocks_compared(version) {
        let site = Site::builder(version).setting("summarize_wal", "on").build();
        tables(&site);
        take(&site, "full");
        site.primary.sql("update kept set body = 'changed' where id % 100 = 0");
        site.primary.sql("checkpoint");
        site.primary.stop();
        let summaries = site.primary.data_dir.join("pg_wal/summaries");
        for entry in std::fs::read_dir(&summaries).expect("there") {
            std::fs::remove_file(entry.expect("entry").path()).expect("own file");
        }
        site.primary.start();
        let outcome = site.run(&["--type=diff", "backup"]).ok();
        outcome.says("comparing blocks");
        let label = site.last_label();
        assert!(label.ends_with('D'), "{label}");
        assert!(!note_of(&site, &label).contains(TOLD), "{}", note_of(&site, &label));
        let expected = site.primary.fingerprint();
        site.primary.archive_wal();
        let restored = site.restore("r", &[]).verified().start_primary();
        assert_eq!(restored.fingerprint(), expected);
    }
}

for_each_fixed_version! {
    fn a_damaged_manifest_of_the_prior_costs_the_comparison_only(version) {
        let site = Site::builder(version)
            .setting("summarize_wal", "on")
            .option("backup-source", "stream")
            .build();
        let full = take(&site, "full");
        site.primary.sql("create table t as select 1 as id");
        let manifest = site.repository().join(format!("backup/db/{full}/backup_manifest"));
        Damage::FlipAt(500).during(&manifest, || {
            let outcome = site.run(&["--type=diff", "backup"]).ok();
            outcome.says("comparing blocks");
        });
        let label = site.last_label();
        assert!(label.ends_with('D'), "{label}");
        assert!(note_of(&site, &label).contains("backup_manifest"), "{}", note_of(&site, &label));
        site.primary.archive_wal();
        let restored = site.restore("r", &[]).verified().start_primary();
        assert_eq!(restored.value("select count(*) from t"), "1");
    }

    fn a_damaged_manifest_of_the_prior_costs_checksums_where_files_are_read(version) {
        let site = Site::builder(version)
            .setting("summarize_wal", "on")
            .option("backup-source", "local")
            .build();
        let full = take(&site, "full");
        site.primary.sql("create table t as select 1 as id");
        let manifest = site.repository().join(format!("backup/db/{full}/backup_manifest"));
        Damage::FlipAt(500).during(&manifest, || {
            site.run(&["--type=diff", "backup"]).ok().says("will have no checksum");
        });
        let label = site.last_label();
        assert!(note_of(&site, &label).contains(TOLD), "{}", note_of(&site, &label));
        site.primary.archive_wal();
        let restored = site.restore("r", &[]).verified().start_primary();
        assert_eq!(restored.value("select count(*) from t"), "1");
    }
}

/// Servers whose minor version has a bug in the summarizer.
fn unfixed_servers_are_not_relied_on(version: crate::support::Version) {
    let site = Site::builder(version).setting("summarize_wal", "on").build();
    take(&site, "full");
    site.primary.sql("create table t as select 1 as id");
    site.run(&["--type=diff", "backup"]).ok().says("can miss changes in its WAL summaries");
    let label = site.last_label();
    assert!(note_of(&site, &label).contains("can miss changes"), "{}", note_of(&site, &label));
    site.primary.archive_wal();
    let restored = site.restore("r", &[]).verified().start_primary();
    assert_eq!(restored.value("select count(*) from t"), "1");
}

#[test]
fn unfixed_17_is_not_relied_on() {
    unfixed_servers_are_not_relied_on(crate::support::Version::new(17));
}

#[test]
fn unfixed_18_is_not_relied_on() {
    unfixed_servers_are_not_relied_on(crate::support::Version::new(18));
}
