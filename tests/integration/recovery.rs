//! Point-in-time recovery: by time, name, LSN and transaction, to the exact row, on both sides of it.

use crate::support::{Cluster, Site, Version, exit, for_each_version, on_one_version};

/// A row, and how to name the moment its transaction committed.
struct Moment {
    row: u32,
    xid: String,
    /// Where the commit record begins.
    lsn: String,
    time: String,
}

/// A backup of an empty table, then five rows in a transaction each, all archived.
struct Story {
    site: Site,
    moments: Vec<Moment>,
}

impl Story {
    fn tell(version: Version) -> Self {
        let site = Site::builder(version).setting("track_commit_timestamp", "on").build();
        site.primary.sql("create table t (row int)");
        site.full_backup(&[]);
        site.wait_for_the_next_second();
        let mut moments = Vec::new();
        for row in 1..=5 {
            if row == 4 {
                site.primary.sql("select pg_create_restore_point('before four')");
            }
            moments.push(insert(&site.primary, row));
            // Two commits must not share a time stamp.
            std::thread::sleep(std::time::Duration::from_millis(3));
        }
        site.primary.archive_wal();
        Self { site, moments }
    }

    fn moment(&self, row: u32) -> &Moment {
        self.moments.iter().find(|moment| moment.row == row).expect("told")
    }

    /// Restores and starts with `options`, waits for the pause at the target, and returns the rows.
    fn rows_at(&self, name: &str, options: &[&str]) -> String {
        let restored = self.site.restore(name, options).start();
        restored.wait_until_paused();
        let rows = rows(&restored);
        drop(restored);
        let _ = std::fs::remove_dir_all(self.site.dir.path().join(name));
        rows
    }
}

fn insert(cluster: &Cluster, row: u32) -> Moment {
    let facts = cluster.sql(&format!(
        "begin; insert into t values ({row}); \
         select txid_current(), pg_current_wal_insert_lsn(); commit"
    ));
    let text = |column: usize| facts[0][column].clone().expect("not null");
    let xid = text(0);
    let time = cluster.value(&format!("select pg_xact_commit_timestamp('{xid}'::xid)"));
    Moment { row, xid, lsn: text(1), time }
}

fn rows(cluster: &Cluster) -> String {
    cluster.value("select coalesce(string_agg(row::text, ' ' order by row), 'none') from t")
}

for_each_version! {
    fn stops_at_the_exact_row(version) {
        let story = Story::tell(version);
        let three = story.moment(3);
        let target = |value: &str| format!("--target={value}");
        for (kind, value) in [("time", &three.time), ("lsn", &three.lsn), ("xid", &three.xid)] {
            let (kind, target) = (format!("--type={kind}"), target(value));
            assert_eq!(story.rows_at("r", &[&kind, &target]), "1 2 3", "{kind}");
            let exclusive = [kind.as_str(), &target, "--target-exclusive"];
            assert_eq!(story.rows_at("r", &exclusive), "1 2", "{kind} exclusive");
        }
        let name = ["--type=name", "--target=before four"];
        assert_eq!(story.rows_at("r", &name), "1 2 3");
        assert_eq!(story.rows_at("r", &["--type=immediate"]), "none");
    }

    fn shorthands_mean_the_same(version) {
        let story = Story::tell(version);
        let two = story.moment(2);
        assert_eq!(story.rows_at("r", &[&format!("--target-time={}", two.time)]), "1 2");
        assert_eq!(story.rows_at("r", &[&format!("--target-lsn={}", two.lsn)]), "1 2");
        assert_eq!(story.rows_at("r", &[&format!("--target-xid={}", two.xid)]), "1 2");
        assert_eq!(story.rows_at("r", &["--target-name=before four"]), "1 2 3");
        assert_eq!(story.rows_at("r", &["--target-immediate"]), "none");
    }

    fn target_action_is_carried_out(version) {
        let story = Story::tell(version);
        let target = format!("--target-time={}", story.moment(3).time);
        let promoted = story.site.restore("p", &[&target, "--target-action=promote"]).start_primary();
        assert_eq!(rows(&promoted), "1 2 3");
        promoted.sql("insert into t values (99)");
        assert_eq!(promoted.value("select substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"), "00000002");
        drop(promoted);
        let restored = story.site.restore("s", &[&target, "--target-action=shutdown"]);
        match restored.try_start() {
            Ok(cluster) => cluster.wait_until_down(60),
            Err(error) => assert!(error.log.contains("recovery target"), "{}", error.log),
        }
    }

    fn newest_backup_that_ended_before_the_target_is_taken(version) {
        let site = Site::builder(version).setting("track_commit_timestamp", "on").build();
        site.primary.sql("create table t (row int)");
        let too_early = insert(&site.primary, 0);
        let first = site.full_backup(&[]);
        site.wait_for_the_next_second();
        let between = insert(&site.primary, 1);
        site.wait_for_the_next_second();
        let second = site.full_backup(&[]);
        site.wait_for_the_next_second();
        let after = insert(&site.primary, 2);
        site.primary.archive_wal();

        let chosen = |name: &str, option: &str| {
            let data_dir = site.dir.make(name);
            let options = [option, "--log-level-stderr=info"];
            site.restore_into(&data_dir, &options).ok()
        };
        for (between, after) in [
            (format!("--target-time={}", between.time), format!("--target-time={}", after.time)),
            (format!("--target-lsn={}", between.lsn), format!("--target-lsn={}", after.lsn)),
        ] {
            chosen(&format!("r{}", between.len()), &between).says(&first).never_says(&second);
            chosen(&format!("s{}", after.len()), &after).says(&second);
        }
        let data_dir = site.dir.make("early");
        for option in [format!("--target-time={}", too_early.time), format!("--target-lsn={}", too_early.lsn)] {
            site.restore_into(&data_dir, &[&option]).code(exit::BACKUP_SET_INVALID);
            let left = std::fs::read_dir(&data_dir).expect("directory").count();
            assert_eq!(left, 0, "a refused restore wrote something");
        }
    }
}

on_one_version! {
    fn backup_can_be_named(version) {
        let site = Site::new(version);
        site.primary.sql("create table t (row int)");
        let first = site.full_backup(&[]);
        site.primary.sql("insert into t values (1)");
        site.full_backup(&[]);
        let set = format!("--set={first}");
        let options = [set.as_str(), "--type=immediate"];
        let restored = site.restore("r", &options).verified().start();
        restored.wait_until_paused();
        assert_eq!(rows(&restored), "none");
    }

    fn type_none_leaves_recovery_to_the_administrator(version) {
        let site = Site::new(version);
        site.full_backup(&[]);
        let restored = site.restore("r", &["--type=none"]);
        assert!(!restored.path().join("recovery.signal").exists());
        assert!(!restored.path().join("standby.signal").exists());
        assert!(!restored.auto_conf().contains("restore_command"));
    }

    fn type_preserve_keeps_the_settings_of_the_backup(version) {
        let site = Site::new(version);
        site.primary.sql("alter system set work_mem = '5MB'");
        site.full_backup(&[]);
        let restored = site.restore("r", &["--type=preserve"]);
        assert!(restored.auto_conf().contains("work_mem"));
        assert!(!restored.auto_conf().contains("restore_command"));
    }

    fn own_settings_of_the_cluster_survive_and_old_recovery_settings_do_not(version) {
        let site = Site::new(version);
        site.primary.sql("alter system set work_mem = '5MB'");
        site.primary.sql("alter system set recovery_target_name = 'long gone'");
        site.full_backup(&[]);
        let restored = site.restore("r", &[]).start_primary();
        assert_eq!(restored.value("show work_mem"), "5MB");
        assert_eq!(restored.value("show recovery_target_name"), "");
    }

    fn recovery_options_and_archive_mode_are_written(version) {
        let site = Site::new(version);
        site.full_backup(&[]);
        let options = ["--recovery-option=recovery_end_command=/bin/true it''s", "--archive-mode=off"];
        let restored = site.restore("r", &options).start_primary();
        assert_eq!(restored.value("show recovery_end_command"), "/bin/true it''s");
        assert_eq!(restored.value("show archive_mode"), "off");
    }

    fn both_forms_of_a_target_are_an_error(version) {
        let site = Site::new(version);
        site.full_backup(&[]);
        let data_dir = site.dir.make("r");
        let both = ["--type=name", "--target=a", "--target-time=2026-11-21 14:03:00+00"];
        site.restore_into(&data_dir, &both).code(exit::OPTION_INVALID);
        let two = ["--target-name=a", "--target-xid=5"];
        site.restore_into(&data_dir, &two).code(exit::OPTION_INVALID);
    }

    fn dry_run_says_what_it_would_do_and_writes_nothing(version) {
        let site = Site::new(version);
        let label = site.full_backup(&[]);
        let data_dir = site.dir.make("r");
        let options = ["--dry-run", "--log-level-stderr=info"];
        site.restore_into(&data_dir, &options).ok().says(&label);
        assert_eq!(std::fs::read_dir(&data_dir).expect("directory").count(), 0);
    }
}
