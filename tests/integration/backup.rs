//! Full backups: what they hold, what they are called, and that a restore gives back every row.

use crate::support::{
    Site, WriteLoad, for_each_source, for_each_version_and_source, pg_amcheck, wait_until,
};

for_each_version_and_source! {
    fn full_under_write_load_gives_back_every_row(version) {
        let site = Site::new(version);
        site.primary.sql("create table seed as select g id, md5(g::text) body from generate_series(1, 50000) g");
        site.primary.sql("create index on seed (body)");
        let load = WriteLoad::start(&site.primary);
        let before = load.transactions();
        site.full_backup(&[]);
        let during = load.transactions();
        assert!(during > before, "nothing was written while the backup ran");
        wait_until("more is written after the backup", 30, || load.transactions() > during + 10);
        load.stop();
        let expected = site.primary.fingerprint();
        site.primary.archive_wal();

        let restored = site.restore("r", &[]).verified().start_primary();
        assert_eq!(restored.fingerprint(), expected);
        pg_amcheck(&restored);
    }

    fn consistent_point_of_a_busy_backup_is_enough(version) {
        let site = Site::new(version);
        let load = WriteLoad::start(&site.primary);
        site.full_backup(&[]);
        load.stop();
        let options = ["--type=immediate", "--target-action=promote"];
        let restored = site.restore("r", &options).verified().start_primary();
        assert!(restored.fingerprint().iter().any(|line| line.contains("public.load")));
        pg_amcheck(&restored);
    }

    fn first_backup_without_a_type_is_a_full(version) {
        let site = Site::new(version);
        site.run(&["backup"]).ok().says("WARN");
        let label = site.last_label();
        assert!(label.ends_with('F') && label.len() == 16, "{label}");
    }

    fn a_dry_run_says_what_a_backup_would_be_and_writes_nothing(version) {
        let site = Site::new(version);
        let backups = || std::fs::read_dir(site.repository().join("backup")).map_or(0, |dir| dir.count());
        let before = backups();
        site.run(&["backup", "--dry-run"]).ok().says("full backup, because: no prior backup exists");
        assert_eq!(backups(), before);
        site.full_backup(&[]);
        let full = site.last_label();
        let planned = site.run(&["backup", "--type=incr", "--dry-run"]).ok();
        planned.says(&format!("backup: incr {full}_")).says(&format!("prior backup: {full}"));
        assert_eq!(site.last_label(), full);
    }

    fn group_access_comes_back(version) {
        let site = Site::builder(version)
            .prepare(|cluster, _| {
                use std::os::unix::fs::PermissionsExt;
                let mode = std::fs::Permissions::from_mode(0o750);
                std::fs::set_permissions(&cluster.data_dir, mode).expect("own directory");
            })
            .build();
        site.full_backup(&[]);
        let restored = site.restore("r", &[]);
        use std::os::unix::fs::PermissionsExt;
        let mode = |name: &str| {
            let path = restored.path().join(name);
            std::fs::metadata(path).expect("restored").permissions().mode() & 0o777
        };
        assert_eq!(mode(""), 0o750, "data directory");
        restored.start_primary();
    }
}

for_each_source! {
    fn labels_stay_unique_and_ordered_within_a_second(version) {
        let site = Site::new(version);
        for _ in 0..3 {
            site.full_backup(&[]);
        }
        let labels = site.labels();
        let mut sorted = labels.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(labels, sorted);
        assert_eq!(labels.len(), 3);
    }

    fn every_compression_type_comes_back_whole(version) {
        let site = Site::new(version);
        site.primary.sql("create table t as select g, md5(g::text) m from generate_series(1, 20000) g");
        for (kind, extension) in [("none", ""), ("lz4", ".lz4"), ("gz", ".gz"), ("zst", ".zst")] {
            let option = format!("--compress-type={kind}");
            site.configure(&format!("[global:archive-push]\ncompress-type={kind}"));
            site.full_backup(&[&option]);
            let segment = site.primary.archive_wal();
            let stored = site.archived(&segment);
            let name = stored[0].display().to_string();
            assert!(name.ends_with(extension), "{name} for {kind}");
            let restored = site.restore(&format!("r-{kind}"), &[]).verified().start_primary();
            assert_eq!(restored.fingerprint(), site.primary.fingerprint(), "{kind}");
            restored.stop();
            let text = std::fs::read_to_string(site.config_file()).expect("configuration");
            let section = format!("[global:archive-push]\ncompress-type={kind}");
            std::fs::write(site.config_file(), text.replace(&section, "")).expect("writable");
        }
    }

    fn compressed_backup_is_smaller(version) {
        let site = Site::new(version);
        let size_with = |kind: &str| {
            site.full_backup(&[&format!("--compress-type={kind}")]);
            let info = site.info();
            let backups = info["backup"].as_array().expect("list").clone();
            backups.last().expect("one")["info"]["repository"]["delta"].as_u64().expect("size")
        };
        let (none, zst, gz, lz4) =
            (size_with("none"), size_with("zst"), size_with("gz"), size_with("lz4"));
        assert!(zst < none / 3 && gz < none / 3 && lz4 < none / 2, "{none} {zst} {gz} {lz4}");
    }

    fn rate_limit_slows_the_backup(version) {
        let site = Site::new(version);
        let size: u64 = site
            .primary
            .value("select sum(pg_database_size(oid))::bigint from pg_database")
            .parse()
            .expect("bytes");
        let outcome = site.run(&["--type=full", "--max-rate=8192", "backup"]).ok();
        let at_least = size as f64 / (8192.0 * 1024.0) * 0.7;
        assert!(outcome.elapsed.as_secs_f64() > at_least, "{outcome} for {size} bytes");
    }

    fn without_archive_check_no_archive_is_needed(version) {
        let site = Site::builder(version).without_archiving().build();
        site.run(&["stanza-create"]).ok();
        site.run(&["--type=full", "--no-archive-check", "backup"]).ok();
        assert_eq!(site.labels().len(), 1);
    }

    fn log_lines_have_the_known_form(version) {
        let site = Site::new(version);
        let outcome = site.run(&["--type=full", "--log-level-stderr=info", "backup"]).ok();
        let form = regex::Regex::new(
            r"(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} P\d\d +(INFO|WARN|DETAIL|ERROR): ",
        )
        .expect("pattern");
        for line in outcome.stderr.lines().filter(|line| !line.starts_with(' ')) {
            assert!(form.is_match(line), "'{line}' in {outcome}");
        }
        assert!(outcome.stderr.contains("INFO: backup command end: completed successfully"), "{outcome}");
    }
}
