//! Stanzas: created, stopped, started; and what the repository shows of itself.

use std::fs;

use crate::support::{Site, exit, for_each_version, on_one_version};

for_each_version! {
    fn creating_twice_is_fine(version) {
        let site = Site::builder(version).build_without_stanza();
        site.run(&["stanza-create"]).ok();
        let files = site.repository_files("");
        site.run(&["stanza-create"]).ok();
        assert_eq!(site.repository_files("").len(), files.len());
        site.run(&["stanza-create", "--force"]).ok().says("option 'force' is ignored: ");
        site.run(&["stanza-upgrade"]).ok();
        assert_eq!(site.info()["db"].as_array().expect("list").len(), 1);
    }
}

on_one_version! {
    fn stopped_stanza_does_nothing_until_started(version) {
        let site = Site::new(version);
        let segment = site.primary.archive_wal();
        let path = site.primary.data_dir.join("pg_wal").join(&segment).display().to_string();
        site.run(&["stop"]).ok();
        site.run(&["--type=full", "backup"]).code(exit::STOP);
        site.run(&["archive-push", &path]).code(exit::STOP);
        site.run(&["info"]).ok();
        site.run(&["stop"]).ok();
        site.run(&["start"]).ok();
        site.run(&["archive-push", &path]).ok();
        site.full_backup(&[]);
        site.run(&["start"]).ok();
    }

    fn stop_without_a_stanza_stops_all(version) {
        let site = Site::new(version);
        let bare = |words: &[&str]| crate::support::run(&mut site.bare_command(words));
        bare(&["stop"]).ok();
        site.run(&["--type=full", "backup"]).code(exit::STOP);
        bare(&["start"]).ok();
        site.full_backup(&[]);
    }

    fn forced_stop_ends_a_running_backup(version) {
        let site = Site::new(version);
        let mut backup = site.spawn(&["--type=full", "--max-rate=1024", "backup"]);
        crate::support::wait_until("the backup runs", 30, || {
            assert!(backup.running());
            site.info()["status"]["lock"]["backup"]["held"] == true
        });
        site.run(&["stop", "--force"]).ok();
        backup.finish().code_in(&[exit::TERM, exit::STOP]);
        site.run(&["start"]).ok();
    }

    fn repository_can_be_listed_and_read(version) {
        let site = Site::new(version);
        site.full_backup(&[]);
        let segment = site.primary.archive_wal();
        // Nothing more is archived while the repository is looked at.
        site.primary.stop();
        let top = site.run(&["repo-ls"]).ok();
        let names: Vec<&str> = top.stdout.lines().collect();
        assert!(names.contains(&"archive") && names.contains(&"backup"), "{top}");
        let listed = site.run(&["repo-ls", "--recurse", "--output=json"]).ok();
        let listed: serde_json::Value = serde_json::from_str(&listed.stdout).expect("JSON");
        assert_eq!(listed["."], serde_json::json!({"type": "path"}));
        let object = &site.archived(&segment)[0];
        let relative = object.strip_prefix(site.repository()).expect("inside").display().to_string();
        let size = fs::metadata(object).expect("there").len();
        assert_eq!(listed[&relative]["type"], "file", "{relative}");
        assert_eq!(listed[&relative]["size"], size);
        assert!(listed[&relative]["time"].is_u64());
        let expected = site.repository_files("").len();
        let files = listed.as_object().expect("object").values().filter(|v| v["type"] == "file");
        assert_eq!(files.count(), expected);

        let missing = site.run(&["repo-get", "archive/db/nothing"]);
        missing.code(exit::FILE_MISSING).says("archive/db/nothing");
        site.run(&["repo-get", "--ignore-missing", "archive/db/nothing"]).code_in(&[0, 1]);
        for outside in ["../pgstrata.conf", "/etc/passwd", "archive/../../pgstrata.conf"] {
            let outcome = site.run(&["repo-get", outside]);
            assert!(outcome.code != 0 && outcome.stdout.is_empty(), "{outcome}");
        }
    }

    fn stored_bytes_can_be_read_raw(version) {
        let site = Site::new(version);
        let segment = site.primary.archive_wal();
        let object = site.archived(&segment)[0].clone();
        let relative = object.strip_prefix(site.repository()).expect("inside").display().to_string();
        let to = site.dir.path().join("out");
        let script = format!(
            "'{}' --config='{}' --stanza=db --raw repo-get '{relative}' > '{}'",
            crate::support::program().display(),
            site.config_file().display(),
            to.display()
        );
        crate::support::run(crate::support::as_server_user("/bin/sh").args(["-c", &script])).ok();
        assert!(fs::read(&to).expect("written") == fs::read(&object).expect("object"));
    }
}
