//! What the program refuses, and that nothing was touched when it did.

use std::{fs, os::unix::fs::symlink, path::Path};

use crate::support::{Cluster, Site, exit, for_each_version, give_to_server_user, on_one_version};

fn entries(directory: &Path) -> usize {
    fs::read_dir(directory).expect("directory").count()
}

/// Options that point the program at another cluster of the same configuration.
fn pointing_at(cluster: &Cluster) -> [String; 2] {
    [
        format!("--pg1-path={}", cluster.data_dir.display()),
        format!("--pg1-socket-path={}", cluster.socket_dir.display()),
    ]
}

for_each_version! {
    fn running_server_is_not_restored_over(version) {
        let site = Site::new(version);
        site.primary.sql("create table t as select 1 a");
        site.full_backup(&[]);
        let data_dir = site.primary.data_dir.clone();
        for extra in [&[][..], &["--force"], &["--delta"]] {
            site.restore_into(&data_dir, extra).code(exit::PG_RUNNING);
        }
        assert_eq!(site.primary.value("select a from t"), "1");
        assert!(!data_dir.join("recovery.signal").exists());
    }

    fn directory_with_files_is_not_restored_into(version) {
        let site = Site::new(version);
        site.full_backup(&[]);
        let data_dir = site.dir.make("r");
        fs::write(data_dir.join("precious"), "data").expect("writable");
        site.restore_into(&data_dir, &[]).code(exit::PATH_NOT_EMPTY).says("HINT");
        assert_eq!(entries(&data_dir), 1);
        assert_eq!(fs::read_to_string(data_dir.join("precious")).expect("there"), "data");
    }

    fn stopped_cluster_is_overwritten_by_force(version) {
        let site = Site::new(version);
        site.primary.sql("create table t as select g from generate_series(1, 1000) g");
        site.full_backup(&[]);
        site.primary.archive_wal();
        let expected = site.primary.fingerprint();
        site.primary.stop();
        let restored = site.restore("r", &[]);
        fs::remove_file(restored.path().join("PG_VERSION")).expect("there");
        fs::write(restored.path().join("base/stray"), "x").expect("writable");
        site.restore_into(restored.path(), &["--force"]).ok();
        assert!(!restored.path().join("base/stray").exists(), "a stray file survived");
        assert_eq!(restored.verified().start_primary().fingerprint(), expected);
    }

    fn other_cluster_does_not_get_into_the_stanza(version) {
        let site = Site::builder(version).own_initdb().build();
        site.full_backup(&[]);
        let foreign = site.foreign_cluster("foreign");
        foreign.start();
        let [path, socket] = pointing_at(&foreign);
        let mismatch = [exit::FILE_INVALID, exit::BACKUP_MISMATCH];
        let options = [path.as_str(), &socket];
        let with = |words: &[&'static str]| [&options[..], words].concat();
        site.run(&with(&["stanza-create"])).code_in(&mismatch).says("HINT").says("stanza-upgrade");
        site.run(&with(&["--type=full", "backup"])).code_in(&mismatch);
        foreign.sql("select pg_switch_wal()");
        let segment = foreign.data_dir.join("pg_wal/000000010000000000000001");
        let pushed = site.run(&["archive-push", &segment.display().to_string()]);
        pushed.code(exit::ARCHIVE_MISMATCH);
        assert_eq!(site.labels().len(), 1);
        site.run(&["stanza-create"]).ok();
        site.full_backup(&[]);
    }

    fn upgraded_cluster_joins_after_stanza_upgrade(version) {
        let site = Site::builder(version).own_initdb().build();
        let old = site.full_backup(&[]);
        let foreign = site.foreign_cluster("foreign");
        foreign.start();
        let [path, socket] = pointing_at(&foreign);
        site.run(&[&path, &socket, "stanza-upgrade"]).ok();
        let data_dir = site.dir.make("r");
        site.restore_into(&data_dir, &[&format!("--set={old}")]).ok();
        let info = site.info();
        assert_eq!(info["db"].as_array().expect("list").len(), 2, "{info}");
    }

    fn wal_that_was_never_archived_voids_the_backup(version) {
        let site = Site::builder(version)
            .without_archiving()
            .setting("archive_mode", "on")
            .setting("archive_command", "/bin/true")
            .build();
        site.run(&["stanza-create"]).ok();
        let outcome = site.run(&["--type=full", "--archive-timeout=2s", "backup"]);
        outcome.code_in(&[exit::ARCHIVE_TIMEOUT, 68]).says("archive_command");
        assert!(site.labels().is_empty());
    }

    fn missing_wal_of_the_backup_is_refused_before_a_byte_is_written(version) {
        let site = Site::new(version);
        site.full_backup(&[]);
        let segment = site.info()["backup"][0]["archive"]["start"].as_str().expect("name").to_owned();
        for object in site.archived(&segment) {
            fs::remove_file(object).expect("repository is writable");
        }
        let data_dir = site.dir.make("r");
        site.restore_into(&data_dir, &[]).failed().says(&segment);
        assert_eq!(entries(&data_dir), 0);
    }

    fn hole_in_the_wal_after_the_backup_is_announced(version) {
        let site = Site::new(version);
        site.primary.sql("create table t (row int)");
        site.full_backup(&[]);
        let mut segments = Vec::new();
        for row in 1..=4 {
            site.primary.sql(&format!("insert into t values ({row})"));
            segments.push(site.primary.archive_wal());
        }
        let lost = &segments[1];
        for object in site.archived(lost) {
            fs::remove_file(object).expect("repository is writable");
        }
        let data_dir = site.dir.make("r");
        let outcome = site.restore_into(&data_dir, &[]).says(lost);
        assert!(outcome.code != 0 || outcome.has("WARN"), "{outcome}");
    }
}

on_one_version! {
    /// The restore would remove the backup that it reads, and all others.
    fn a_repository_within_the_data_directory_is_refused_before_it_is_removed(version) {
        let site = Site::new(version);
        site.full_backup(&[]);
        let before = site.repository_files("backup").len();
        for options in [&["--force"][..], &["--delta"], &["--delta", "--dry-run"]] {
            let refused = site.restore_into(site.dir.path(), options).code(exit::OPTION_INVALID_VALUE);
            refused.says("lies within");
            assert_eq!(site.repository_files("backup").len(), before);
        }
        let within = format!("--repo1-path={}", site.primary.data_dir.join("repo").display());
        for command in ["stanza-create", "backup", "check"] {
            site.run(&[&within, command]).code(exit::OPTION_INVALID_VALUE).says("lies within");
        }
    }

    fn links_in_the_target_are_not_followed_outside(version) {
        let site = Site::new(version);
        site.full_backup(&[]);
        let restored = site.restore("r", &[]);
        let outside = site.dir.make("outside");
        fs::write(outside.join("PG_VERSION"), "precious").expect("writable");
        fs::remove_dir_all(restored.path().join("base")).expect("there");
        symlink(&outside, restored.path().join("base")).expect("writable");
        let _ = site.restore_into(restored.path(), &["--force"]);
        assert_eq!(entries(&outside), 1, "something was written through the link");
        assert_eq!(fs::read_to_string(outside.join("PG_VERSION")).expect("there"), "precious");
    }

    fn repository_object_that_is_a_link_to_other_bytes_is_refused(version) {
        let site = Site::new(version);
        site.primary.sql("create table t as select g from generate_series(1, 1000) g");
        site.full_backup(&[]);
        let files = site.repository_files("backup/db");
        let largest = files
            .iter()
            .max_by_key(|path| fs::metadata(path).expect("there").len())
            .expect("files");
        let elsewhere = site.dir.path().join("elsewhere");
        let mut bytes = fs::read(largest).expect("readable");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&elsewhere, bytes).expect("writable");
        give_to_server_user(&elsewhere);
        fs::remove_file(largest).expect("writable");
        symlink(&elsewhere, largest).expect("writable");
        let data_dir = site.dir.make("r");
        site.restore_into(&data_dir, &[]).failed();
        assert!(!data_dir.join("global/pg_control").exists());
    }

    fn unknown_backup_is_named(version) {
        let site = Site::new(version);
        site.full_backup(&[]);
        let data_dir = site.dir.make("r");
        let outcome = site.restore_into(&data_dir, &["--set=20200101-000000F"]);
        outcome.code(exit::BACKUP_SET_INVALID).says("20200101-000000F");
    }

    fn restore_without_any_backup_is_refused(version) {
        let site = Site::new(version);
        let data_dir = site.dir.make("r");
        site.restore_into(&data_dir, &[]).code(exit::BACKUP_SET_INVALID);
        assert_eq!(entries(&data_dir), 0);
    }

    fn archiving_switched_off_is_named(version) {
        let site = Site::builder(version).without_archiving().build();
        site.run(&["stanza-create"]).ok();
        site.run(&["--type=full", "backup"]).code(exit::ARCHIVE_DISABLED).says("archive_mode");
    }

    fn stanza_that_was_not_created_is_explained(version) {
        let site = Site::builder(version).build_without_stanza();
        site.run(&["--type=full", "backup"]).failed().says("stanza-create");
        let segment = site.primary.switch_wal();
        let path = site.primary.data_dir.join("pg_wal").join(segment).display().to_string();
        site.run(&["archive-push", &path]).failed().says("stanza-create");
    }

    fn server_that_is_down_is_a_connection_error(version) {
        let site = Site::new(version);
        site.primary.stop();
        site.run(&["--type=full", "backup"]).code(exit::DB_CONNECT);
    }

    fn stanza_is_only_deleted_when_stopped(version) {
        let site = Site::new(version);
        site.full_backup(&[]);
        site.run(&["stanza-delete"]).failed();
        assert_eq!(site.labels().len(), 1);
        site.primary.stop();
        site.run(&["stop"]).ok();
        site.run(&["stanza-delete"]).ok();
        assert!(site.repository_files("backup/db").is_empty());
        assert!(site.repository_files("archive/db").is_empty());
    }
}
