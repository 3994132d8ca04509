//! `info`: the same keys, the same words and the same status codes that the field's tools read.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{Site, for_each_version, on_one_version};

fn keys(value: &Value) -> String {
    let object = value.as_object().unwrap_or_else(|| panic!("not an object: {value}"));
    let names: BTreeSet<&str> = object.keys().map(String::as_str).collect();
    names.into_iter().collect::<Vec<_>>().join(" ")
}

fn assert_stanza_shape(stanza: &Value) {
    assert_eq!(keys(stanza), "archive backup cipher db name repo status");
    assert_eq!(keys(&stanza["archive"][0]), "database id max min");
    assert_eq!(keys(&stanza["archive"][0]["database"]), "id repo-key");
    assert_eq!(keys(&stanza["db"][0]), "id repo-key system-id version");
    assert_eq!(keys(&stanza["repo"][0]), "cipher key status");
    assert_eq!(keys(&stanza["repo"][0]["status"]), "code message");
    assert_eq!(keys(&stanza["status"]), "code lock message");
    assert_eq!(keys(&stanza["status"]["lock"]), "backup restore");
    assert_eq!(stanza["status"]["lock"]["restore"], serde_json::json!({"held": false}));
}

fn assert_backup_shape(backup: &Value) {
    assert_eq!(keys(&backup["archive"]), "start stop");
    assert_eq!(keys(&backup["backrest"]), "format version");
    assert_eq!(keys(&backup["database"]), "id repo-key");
    assert_eq!(keys(&backup["info"]), "delta repository size");
    assert_eq!(keys(&backup["info"]["repository"]), "delta size");
    assert_eq!(keys(&backup["lsn"]), "start stop");
    assert_eq!(keys(&backup["timestamp"]), "start stop");
    assert_eq!(backup["type"], "full");
    assert_eq!(keys(&backup["recovery"]), "lsn stop time");
    assert_eq!(backup["prior"], Value::Null);
    assert_eq!(backup["source"], "local");
    assert_eq!(backup["reference"], Value::Null);
}

const BACKUP_KEYS: &str =
    "archive backrest database error info label lsn prior recovery reference source timestamp type";
const SET_KEYS: &str = "archive backrest database database-ref error info label link lsn prior \
     recovery reference source tablespace timestamp type";

/// The names of all archived segments, in order.
fn segment_names(site: &Site) -> Vec<String> {
    let files = site.repository_files("archive/db");
    let names = files.iter().filter_map(|path| path.file_name()?.to_str());
    let segments = names.filter(|name| name.as_bytes().get(24) == Some(&b'-'));
    segments.map(|name| name[..24].to_owned()).collect()
}

for_each_version! {
    fn json_has_the_known_shape(version) {
        let site = Site::new(version);
        let empty = site.info();
        assert_eq!(empty["status"]["code"], 2, "{empty}");
        assert_eq!(empty["status"]["message"], "no valid backups");
        site.full_backup(&[]);
        let info = site.info();
        assert_stanza_shape(&info);
        assert_eq!(info["status"]["message"], "ok");
        assert_eq!(info["db"][0]["version"], version.to_string());
        let system_id = site.primary.value("select system_identifier from pg_control_system()");
        assert_eq!(info["db"][0]["system-id"].to_string(), system_id);
        assert_eq!(info["archive"][0]["id"], format!("{version}-1"));
        let backup = &info["backup"][0];
        assert_eq!(keys(backup), BACKUP_KEYS);
        assert_backup_shape(backup);
        let size = backup["info"]["size"].as_u64().expect("bytes");
        let databases = site.primary.value("select sum(pg_database_size(oid))::bigint from pg_database");
        let databases: u64 = databases.parse().expect("bytes");
        assert!(size >= databases && size < databases * 2, "{size} for {databases}");
    }

    fn set_shows_more(version) {
        let site = Site::new(version);
        site.primary.sql("create database orders");
        site.full_backup(&[]);
        let set = format!("--set={}", site.last_label());
        let outcome = site.run(&[&set, "--output=json", "info"]).ok();
        let info: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
        let backup = &info[0]["backup"][0];
        assert_eq!(keys(backup), SET_KEYS);
        assert_backup_shape(backup);
        let names: Vec<&str> = backup["database-ref"]
            .as_array()
            .expect("list")
            .iter()
            .filter_map(|entry| entry["name"].as_str())
            .collect();
        assert!(names.contains(&"orders") && names.contains(&"postgres"), "{names:?}");
        let text = site.run(&[&set, "info"]).ok();
        text.says("lsn start/stop: 0/").says("database list: ").says("orders (");
    }
}

/// The text of one full backup; every line of it is read by somebody's script.
const TEXT: &str = r"^stanza: db
    status: ok
    cipher: none

    db \(current\)
        wal archive min/max \(\d+\): [0-9A-F]{24}/[0-9A-F]{24}

        full backup: \d{8}-\d{6}F
            timestamp start/stop: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00 / \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00
            wal start/stop: [0-9A-F]{24} / [0-9A-F]{24}
            database size: [0-9.]+MB, database backup size: [0-9.]+MB
            repo1: backup set size: [0-9.]+[KM]B, backup size: [0-9.]+[KM]B
            recovery window: up to \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00, [0-9A-F]+/[0-9A-F]+ \([0-9A-F]{24}\)
$";

for_each_version! {
    fn gaps_and_recovery_windows_are_shown(version) {
        let site = Site::new(version);
        site.full_backup(&[]);
        (0..4).for_each(|_| drop(site.primary.archive_wal()));
        let info = site.info();
        let window = &info["backup"][0]["recovery"];
        assert_eq!((&window["stop"], &window["gap"]), (&info["archive"][0]["max"], &Value::Null));
        assert!(info["archive"][0]["gap"].is_null());
        let names = segment_names(&site);
        let [.., before, lost, _] = &names[..] else { panic!("too few: {names:?}") };
        for object in site.archived(&format!("{lost}-")) {
            std::fs::remove_file(object).expect("repository is writable");
        }
        let info = site.info();
        let window = &info["backup"][0]["recovery"];
        assert_eq!(window["stop"], before.as_str());
        assert_eq!(window["gap"]["start"], lost.as_str());
        assert_eq!(info["archive"][0]["gap"][0]["stop"], lost.as_str());
        let text = site.run(&["info"]).ok();
        text.says(&format!("wal archive gap: {lost}")).says("then wal missing: ");
    }
}

on_one_version! {
    fn text_has_the_known_lines(version) {
        let site = Site::new(version);
        let empty = "stanza: db\n    status: error (no valid backups)\n    cipher: none\n\n    \
             db (current)\n        wal archive min/max (15): none present\n";
        let outcome = site.run(&["info"]).ok();
        assert!(outcome.stdout.contains("status: error (no valid backups)"), "{outcome}");
        let fresh = Site::builder(version).setting("archive_command", "false").build();
        let outcome = fresh.run(&["info"]).ok();
        assert_eq!(outcome.stdout, empty);
        site.full_backup(&[]);
        let outcome = site.run(&["info"]).ok();
        let pattern = regex::Regex::new(TEXT).expect("pattern");
        assert!(pattern.is_match(&outcome.stdout), "{outcome}");
    }

    fn json_is_compact_with_keys_in_order(version) {
        let site = Site::new(version);
        site.full_backup(&[]);
        let outcome = site.run(&["--output=json", "info"]).ok();
        let parsed: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
        assert_eq!(outcome.stdout.trim_end(), parsed.to_string());
    }

    fn missing_stanza_is_a_status_not_an_error(version) {
        let site = Site::builder(version).build_without_stanza();
        let outcome = site.run(&["--output=json", "info"]).ok();
        let expected = r#"[{"archive":[],"backup":[],"cipher":"none","db":[],"name":"db","repo":[{"cipher":"none","key":1,"status":{"code":1,"message":"missing stanza path"}}],"status":{"code":1,"lock":{"backup":{"held":false},"restore":{"held":false}},"message":"missing stanza path"}}]"#;
        assert_eq!(outcome.stdout.trim_end(), expected);
        site.run(&["info"]).ok().says("error (missing stanza path)");
    }

    fn without_a_stanza_all_are_shown(version) {
        let site = Site::new(version);
        site.full_backup(&[]);
        let outcome = crate::support::run(&mut site.bare_command(&["info", "--output=json"])).ok();
        let info: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
        assert_eq!(info.as_array().expect("list").len(), 1);
        assert_eq!(info[0]["name"], "db");
    }

    fn set_that_does_not_exist_is_a_status(version) {
        let site = Site::new(version);
        site.full_backup(&[]);
        let outcome = site.run(&["--set=20200101-000000F", "--output=json", "info"]).ok();
        let info: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
        assert_eq!(info[0]["status"]["code"], 6, "{outcome}");
    }

    fn annotations_are_kept_changed_and_removed(version) {
        let site = Site::new(version);
        site.full_backup(&["--annotation=source=demo", "--annotation=reason=first"]);
        let expected = serde_json::json!({"source": "demo", "reason": "first"});
        assert_eq!(site.info()["backup"][0]["annotation"], expected);
        let set = format!("--set={}", site.last_label());
        let change = ["annotate", &set, "--annotation=reason=second", "--annotation=source="];
        site.run(&change).ok();
        let expected = serde_json::json!({"reason": "second"});
        assert_eq!(site.info()["backup"][0]["annotation"], expected);
        site.run(&[&set, "info"]).ok().says("reason: second");
        let _ = site.restore("r", &[]).verified();
    }

    fn info_is_quick(version) {
        let site = Site::new(version);
        site.full_backup(&[]);
        site.run(&["info"]).ok();
        site.run(&["info"]).ok().within_ms(500);
    }
}
