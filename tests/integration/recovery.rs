//! Point-in-time recovery: by time, name, LSN and transaction, to the exact row, on both sides of it.

use crate::support::{
    Cluster, Restored, Site, Version, exit, for_each_version, on_one_version, run, write_file,
};

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
    fn every_setting_of_the_server_is_known_by_name(version) {
        let site = Site::new(version);
        let listed = "select string_agg(lower(name) || ' ' || context, ',') from pg_settings";
        let major = version.major().to_string().parse().expect("a version");
        for line in site.primary.value(listed).split(',') {
            let (name, context) = line.split_once(' ').expect("name and context");
            let unfit = pgstrata::postgres::unfit_setting(name, major);
            let shown = format!("{name} ({context}): {unfit:?}");
            assert_eq!(unfit.is_some(), context == "internal" || name == "is_superuser", "{shown}");
        }
    }

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

    fn old_recovery_settings_of_the_source_do_not_decide(version) {
        let site = Site::builder(version)
            .setting("recovery_target_time", "2020-01-01 00:00:00+00")
            .setting("recovery_target_action", "promote")
            .setting("recovery_target_timeline", "current")
            .setting("recovery_min_apply_delay", "1h")
            .setting("recovery_end_command", "touch ended")
            .setting("archive_cleanup_command", "touch cleaned")
            .build();
        site.primary.sql("create table t (row int)");
        site.primary.sql("alter system set recovery_min_apply_delay = '2h'");
        site.full_backup(&[]);
        site.primary.sql("insert into t values (1)");
        site.primary.sql("select pg_create_restore_point('one')");
        site.primary.sql("insert into t values (2)");
        site.primary.archive_wal();
        let data_dir = site.dir.make("r");
        let mut outcome = site.restore_into(&data_dir, &[]).ok();
        for setting in ["recovery_target_time", "recovery_min_apply_delay", "recovery_end_command"] {
            outcome = outcome.says(&format!("{setting} = "));
        }
        let copy = Restored::new(version, &data_dir).verified().start_primary();
        assert_eq!(rows(&copy), "1 2", "the end of the archive");
        assert_eq!(copy.value("show recovery_min_apply_delay"), "0");
        assert!(!data_dir.join("ended").exists() && !data_dir.join("cleaned").exists());
        drop(copy);
        let named = site.restore("n", &["--type=name", "--target=one", "--target-timeline=latest"]).start();
        named.wait_until_paused();
        assert_eq!(rows(&named), "1", "a target of another kind than the old one");
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

    fn a_setting_that_the_server_does_not_know_is_refused_before_anything_is_written(version) {
        let site = Site::new(version);
        site.full_backup(&[]);
        let data_dir = site.dir.make("r");
        for (name, hint) in [("foo_bar", "documentation"), ("work_men", "did you mean 'work_mem'?")] {
            let option = format!("--recovery-option={name}=1");
            let refused = site.restore_into(&data_dir, &[&option]).code(exit::OPTION_INVALID_VALUE);
            refused.says(&format!("'{name}', which PostgreSQL {} does not know", version.major())).says(hint);
            assert_eq!(std::fs::read_dir(&data_dir).expect("directory").count(), 0);
        }
        let option = "--recovery-option=my_extension.setting=1";
        site.restore_into(&data_dir, &[option]).ok();
        Restored::new(version, &data_dir).start_primary();
    }

    fn a_time_means_the_same_to_the_restore_and_to_the_server(version) {
        let story = Story::tell(version);
        let three = &story.moment(3).time;
        let utc = three.replace(' ', "T").replace("+00", "Z").replace('.', ",");
        assert!(utc.ends_with('Z') && utc.contains(','), "{utc}");
        assert_eq!(story.rows_at("r", &[&format!("--target-time={utc}")]), "1 2 3");
        assert_eq!(story.rows_at("r", &[&format!("--target-time={}", utc.to_lowercase().replace('t', "T"))]), "1 2 3");
        // The zone of this host is another one than that of the server.
        let local = story.site.primary.value(&format!(
            "select to_char('{three}'::timestamptz at time zone 'America/New_York', 'YYYY-MM-DD HH24:MI:SS.US')"
        ));
        let data_dir = story.site.dir.make("l");
        let pg_path = format!("--pg1-path={}", data_dir.display());
        let target = format!("--target-time={local}");
        let options = ["restore", &pg_path, &target, "--log-level-stderr=info"];
        let outcome = run(story.site.command(&options).env("TZ", "America/New_York")).ok();
        outcome.says("without a time zone").says(&three.replace("+00", ""));
        let copy = Restored::new(version, &data_dir).start();
        copy.wait_until_paused();
        assert_eq!(rows(&copy), "1 2 3");
    }

    fn a_named_backup_that_ended_after_the_target_is_refused(version) {
        let story = Story::tell(version);
        let (three, five) = (story.moment(3), story.moment(5));
        story.site.wait_for_the_next_second();
        let set = format!("--set={}", story.site.full_backup(&[]));
        let data_dir = story.site.dir.make("r");
        for target in [format!("--target-time={}", five.time), format!("--target-lsn={}", three.lsn)] {
            let outcome = story.site.restore_into(&data_dir, &[&set, &target]);
            outcome.code(exit::BACKUP_SET_INVALID).says("cannot stop earlier");
            assert_eq!(std::fs::read_dir(&data_dir).expect("directory").count(), 0);
        }
    }

    fn options_of_the_command_line_win_over_recovery_options_of_the_file(version) {
        let story = Story::tell(version);
        story.site.configure(
            "recovery-option=recovery_target_name=nowhere\nrecovery-option=recovery-target-action=shutdown\n\
             recovery-option=Recovery_Target_Timeline=7\nrecovery-option=recovery_target_inclusive=on\n\
             recovery-option=archive_mode=on\nrecovery-option=recovery_end_command=true",
        );
        let target = format!("--target-time={}", story.moment(3).time);
        let options = [
            target.as_str(), "--target-exclusive", "--target-action=promote", "--target-timeline=latest", "--archive-mode=off",
        ];
        let data_dir = story.site.dir.make("r");
        let outcome = story.site.restore_into(&data_dir, &options).ok();
        outcome.says("recovery_target_name").says("archive_mode=on is ignored");
        // The copy would archive if the settings let it.
        let copy = Restored::new(version, &data_dir).archiving().start_primary();
        assert_eq!(rows(&copy), "1 2");
        assert_eq!(copy.value("show archive_mode"), "off");
        assert_eq!(copy.value("show recovery_end_command"), "true");
        drop(copy);
        // Alone, they count as if they were options: the plan is what PostgreSQL does.
        story.site.restore_into(&story.site.dir.make("s"), &["--dry-run"]).failed().says("00000007.history");
        let data_dir = story.site.dir.make("i");
        story.site.restore_into(&data_dir, &["--type=immediate", "--dry-run"]).ok().says("recovery_target_timeline = current");
        let both = [target.as_str(), "--recovery-option=recovery_target_name=a"];
        story.site.restore_into(&data_dir, &both).code(exit::OPTION_INVALID).says("recovery_target_name");
        let unknown = ["--recovery-option=standby_mode=on"];
        story.site.restore_into(&data_dir, &unknown).code(exit::OPTION_INVALID_VALUE).says("--type=standby");
        assert_eq!(std::fs::read_dir(&data_dir).expect("directory").count(), 0);
    }

    fn stale_signal_files_of_the_backup_do_not_come_back(version) {
        let site = Site::new(version);
        site.primary.sql("create table t (row int)");
        for name in ["standby.signal", "recovery.conf"] {
            write_file(&site.primary.data_dir.join(name), "");
        }
        site.full_backup(&[]);
        let restored = site.restore("r", &[]).verified();
        assert!(!restored.path().join("standby.signal").exists() && !restored.path().join("recovery.conf").exists());
        assert_eq!(rows(&restored.start_primary()), "none");
    }

    fn a_target_time_behind_the_end_of_the_archive_is_said(version) {
        let story = Story::tell(version);
        let data_dir = story.site.dir.make("r");
        let late = ["--target-time=2199-01-01 00:00:00+00", "--dry-run"];
        story.site.restore_into(&data_dir, &late).ok().says("the archive ends with").says("will fail");
        let in_time = format!("--target-time={}", story.moment(5).time);
        story.site.restore_into(&data_dir, &[&in_time, "--dry-run"]).ok().never_says("the archive ends");
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
