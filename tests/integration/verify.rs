//! `verify`: says nothing of a sound repository, and finds every kind of damage in one that is not.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::support::{
    Damage, Outcome, Site, Version, exit, for_each_version, give_to_server_user, on_one_version,
};

/// A full, a differential and an incremental backup, with WAL between them and behind the last.
struct Chain {
    site: Site,
    labels: Vec<String>,
}

impl Chain {
    fn make(version: Version) -> Self {
        let site = Site::new(version);
        site.primary
            .sql("create table t as select g, md5(g::text) m from generate_series(1, 30000) g");
        site.full_backup(&[]);
        for (kind, rows) in [("diff", 5000), ("incr", 9000)] {
            site.primary
                .sql(&format!("update t set m = 'x' where g between {rows} and {rows} + 50"));
            site.primary.archive_wal();
            site.run(&[&format!("--type={kind}"), "backup"]).ok();
        }
        site.primary.archive_wal();
        site.primary.archive_wal();
        let labels = site.labels();
        assert_eq!(labels.len(), 3);
        Self { site, labels }
    }

    fn object(&self, backup: usize, name: &str) -> PathBuf {
        self.site.repository().join("backup/db").join(&self.labels[backup]).join(name)
    }

    fn verify(&self, options: &[&str]) -> Outcome {
        self.site.run(&[options, &["verify"]].concat())
    }
}

fn json(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|e| panic!("not JSON: {e}: {outcome}"))
}

/// With the object damaged, verify exits with one of `codes` and names it.
fn found(chain: &Chain, object: &Path, damage: Damage, codes: &[i32]) {
    let name = object.strip_prefix(chain.site.repository()).expect("below the repository");
    damage.during(object, || {
        chain.verify(&["--output=text"]).code_in(codes).says(&name.display().to_string());
    });
}

for_each_version! {
    fn sound_chain_is_proven_and_damage_in_any_part_is_found(version) {
        let chain = Chain::make(version);
        let report = json(&chain.verify(&["--output=json", "--verbose"]).ok());
        let repo = &report["repo"][0];
        assert_eq!((&report["stanza"], &repo["status"]), (&"db".into(), &"ok".into()));
        assert_eq!(repo["backup"].as_array().expect("list").len(), 3);
        let objects = chain.site.repository_files("").len();
        assert_eq!(repo["checked"]["objects"], objects, "{report:#}");
        assert!(repo["checked"]["raw"].as_u64() > chain.site.info()["backup"][0]["info"]["size"].as_u64());
        let damaged = [exit::CHECKSUM];
        found(&chain, &chain.object(0, "bundle/00000001"), Damage::FlipAt(500), &damaged);
        found(&chain, &chain.object(0, "bundle/00000001"), Damage::CutHalf, &damaged);
        found(&chain, &chain.object(1, "bundle/00000001"), Damage::FlipAt(999), &damaged);
        found(&chain, &chain.object(2, "map/00000001"), Damage::FlipAt(500), &damaged);
        found(&chain, &chain.object(0, "files"), Damage::FlipAt(500), &damaged);
        found(&chain, &chain.object(1, "manifest"), Damage::FlipAt(500), &damaged);
        let stop = chain.site.info()["backup"][0]["archive"]["stop"].as_str().expect("name").to_owned();
        let segment = chain.site.archived(&stop).remove(0);
        // Near its start, where a segment that was switched early holds more than zeros.
        found(&chain, &segment, Damage::InvertedAt(100), &damaged);
        found(&chain, &segment, Damage::CutHalf, &damaged);
        chain.verify(&[]).ok();
    }

    fn what_is_missing_is_named(version) {
        let chain = Chain::make(version);
        let missing = [exit::FILE_MISSING];
        found(&chain, &chain.object(0, "bundle/00000001"), Damage::Gone, &missing);
        Damage::Gone.during(&chain.object(0, "manifest"), || {
            let outcome = chain.verify(&["--output=text"]).code(exit::FILE_MISSING);
            let _ = outcome.says("other backups refer to it").says(&chain.labels[2]);
        });
        let newest = chain.site.info()["archive"][0]["max"].as_str().expect("name").to_owned();
        let backups = chain.site.info();
        for (key, backup) in [("start", 0), ("start", 2)] {
            let name = backups["backup"][backup]["archive"][key].as_str().expect("name").to_owned();
            let segment = chain.site.archived(&format!("{name}-")).remove(0);
            Damage::Gone.during(&segment, || {
                chain.verify(&[]).code(exit::FILE_MISSING).says(&name);
            });
        }
        // The newest one is no hole when it goes; the one before it then is.
        let all = chain.site.archived("0000");
        let segments: Vec<&PathBuf> = all.iter().filter(|path| !path.display().to_string().contains('.')
            || path.extension().is_some_and(|ext| ext == "zst")).collect();
        let before_last = segments.iter().rev().map(|path| path.file_name().expect("name").to_string_lossy()[..24].to_owned())
            .find(|name| *name < newest).expect("a segment before the newest");
        let segment = chain.site.archived(&format!("{before_last}-")).remove(0);
        Damage::Gone.during(&segment, || {
            let outcome = chain.verify(&["--output=json"]).code(exit::FILE_MISSING);
            let report = json(&outcome);
            let fault = &report["repo"][0]["fault"][0];
            assert_eq!(fault["kind"], "hole", "{report:#}");
            assert!(fault["object"].as_str().expect("path").ends_with(&before_last), "{report:#}");
            assert_eq!(fault["backup"].as_array().expect("list").len(), 3);
        });
        chain.verify(&[]).ok();
    }
}

on_one_version! {
    fn damage_does_not_hide_other_damage_and_says_whom_it_affects(version) {
        let chain = Chain::make(version);
        let largest = chain.object(2, "bundle/00000001");
        Damage::FlipAt(999).during(&largest, || {
            Damage::FlipAt(500).during(&chain.object(1, "files"), || {
                let outcome = chain.verify(&["--output=json"]).code(exit::CHECKSUM);
                let report = json(&outcome);
                let faults = report["repo"][0]["fault"].as_array().expect("list");
                assert_eq!(faults.len(), 2, "{report:#}");
                let of_bundle = faults.iter().find(|f| f["object"].as_str().is_some_and(|o| o.contains("bundle")));
                let of_bundle = of_bundle.expect("the bundle's");
                assert_eq!(of_bundle["backup"], serde_json::json!([chain.labels[2]]));
                assert!(!of_bundle["file"].as_array().expect("list").is_empty(), "{report:#}");
            });
        });
        // Without a report the log says it, with code and hint.
        Damage::FlipAt(999).during(&largest, || {
            chain.verify(&[]).code(exit::CHECKSUM).says("[026]").says("bundle/00000001").says("HINT");
        });
    }

    fn orphans_and_left_overs_are_told_apart(version) {
        let chain = Chain::make(version);
        let label = &chain.labels[0];
        let stray = chain.object(0, "bundle/00000077");
        fs::write(&stray, "x").expect("writable");
        give_to_server_user(&stray);
        chain.verify(&["--output=text"]).code(exit::FILE_INVALID).says("orphan").says("bundle/00000077");
        fs::remove_file(&stray).expect("there");
        // A backup without manifest is no backup, and no fault.
        let interrupted = chain.site.repository().join("backup/db/20300101-000000F/bundle/00000001");
        fs::create_dir_all(interrupted.parent().expect("a directory")).expect("writable");
        fs::copy(chain.object(0, "bundle/00000001"), &interrupted).expect("writable");
        give_to_server_user(&chain.site.repository().join("backup/db/20300101-000000F"));
        chain.verify(&["--output=text"]).ok().says("20300101-000000F has no manifest");
        chain.verify(&[&format!("--set={label}")]).ok();
        chain.verify(&["--set=20200101-000000F"]).code(exit::BACKUP_SET_INVALID);
    }

    fn set_alone_is_verified(version) {
        let chain = Chain::make(version);
        let set = format!("--set={}", chain.labels[0]);
        Damage::FlipAt(500).during(&chain.object(2, "files"), || {
            let outcome = chain.verify(&[&set, "--output=json"]).ok();
            assert_eq!(json(&outcome)["repo"][0]["backup"].as_array().expect("list").len(), 1);
            chain.verify(&[]).code(exit::CHECKSUM);
        });
    }

    fn promoted_cluster_and_its_timelines_are_sound(version) {
        let site = Site::new(version);
        site.primary.sql("create table t (row text)");
        site.full_backup(&[]);
        site.primary.sql("select pg_create_restore_point('fork')");
        site.primary.sql("insert into t values ('b')");
        site.primary.archive_wal();
        site.primary.stop();
        let options = ["--target-name=fork", "--target-action=promote"];
        let branch = site.restore("branch", &options).archiving().start_primary();
        branch.sql("insert into t values ('c')");
        let newest = branch.archive_wal();
        let outcome = site.run(&["--output=json", "verify"]).ok();
        let report = json(&outcome);
        assert_eq!(report["repo"][0]["backup"][0]["recovery"]["stop"], newest, "{report:#}");
        for object in site.archived("00000002.history") {
            fs::remove_file(object).expect("repository is writable");
        }
        site.run(&["--output=text", "verify"]).code(exit::FILE_MISSING).says("00000002.history");
    }

    fn stanza_that_does_not_exist_is_an_error(version) {
        let site = Site::builder(version).build_without_stanza();
        site.run(&["verify"]).code(exit::FILE_MISSING).says("stanza-create");
    }
}
