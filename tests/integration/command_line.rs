//! The command line as users and their tools write it.

use std::{fs, os::unix::fs::symlink};

use crate::support::{
    Site, as_server_user, exit, for_each_version, give_to_server_user, on_one_version, program,
    run, write_file,
};

for_each_version! {
    fn lines_of_existing_runbooks_work(version) {
        let site = Site::new(version);
        site.primary.sql("create table t as select 1 a");
        let line = |words: &str| {
            let words: Vec<&str> = words.split(' ').collect();
            run(&mut site.bare_command(&words))
        };
        line("--stanza=db --type=full --log-level-stderr=info backup").ok().says("INFO");
        site.primary.archive_wal();
        site.wait_for_the_next_second();
        let time = site.primary.value("select clock_timestamp()");
        std::thread::sleep(std::time::Duration::from_millis(20));
        site.primary.sql("drop table t");
        site.primary.archive_wal();
        let empty_data_directory = || {
            site.primary.stop();
            fs::remove_dir_all(&site.primary.data_dir).expect("writable");
            site.dir.make("data");
        };
        empty_data_directory();
        line("--stanza=db --log-level-stderr=info restore").ok().says("INFO");
        site.primary.start();
        site.primary.wait_until_primary();
        assert!(site.primary.try_sql("select a from t").is_err());

        empty_data_directory();
        let target = format!("--target-time={time}");
        run(&mut site.bare_command(&["--stanza=db", "restore", &target])).ok();
        site.primary.start();
        site.primary.wait_until_paused();
        // Recovery stopped inside the DROP and holds its lock: nobody reads the table before it ends.
        site.primary.sql("select pg_wal_replay_resume()");
        site.primary.wait_until_primary();
        assert_eq!(site.primary.value("select a from t"), "1");
    }
}

on_one_version! {
    fn program_answers_to_the_older_name(version) {
        let site = Site::new(version);
        let name = site.dir.path().join("pgbackrest");
        symlink(program(), &name).expect("writable");
        let command = |words: &[&str]| {
            let mut command = as_server_user(&name);
            command.env("PGBACKREST_CONFIG", site.config_file());
            command.env("PGBACKREST_STANZA", "db").args(words);
            // Container images say what is in them in variables like these.
            command.env("PGBACKREST_VERSION", "2.55.1").env("PGBACKREST_HELP", "none");
            command
        };
        run(&mut command(&["--type=full", "backup"])).ok();
        assert_eq!(site.labels().len(), 1);
        // The other program's variables mean nothing to this name.
        let mut other = as_server_user(&name);
        other.env("PGSTRATA_CONFIG", site.config_file()).args(["--stanza=db", "check"]);
        run(&mut other).failed();
    }

    fn configuration_of_an_existing_installation_is_taken_as_it_is(version) {
        let site = Site::new(version);
        site.configure(
            "[global]\nrepo1-bundle=y\nrepo1-block=y\nrepo1-retention-full=2\nrepo1-hardlink=n\n\
             delta=n\nlog-level-console=info\ncompress-type=zst\n\
             compress-level=1\nbuffer-size=4MiB\nresume=y\n\n[global:archive-push]\n\
             compress-level=3\narchive-push-queue-max=4GiB\n\n[db:backup]\nprocess-max=2\n",
        );
        site.full_backup(&[]);
        site.primary.archive_wal();
        let _ = site.restore("r", &[]).verified();
    }

    fn more_specific_sections_win_and_the_command_line_wins_over_all(version) {
        let site = Site::new(version);
        site.configure("[global:backup]\nannotation=from=global\n[db:backup]\nannotation=from=stanza");
        site.full_backup(&[]);
        assert_eq!(site.info()["backup"][0]["annotation"]["from"], "stanza");
        let mut command = site.command(&["--type=full", "backup"]);
        run(command.env("PGSTRATA_ANNOTATION", "from=environment")).ok();
        assert_eq!(site.info()["backup"][1]["annotation"]["from"], "environment");
        let mut command = site.command(&["--type=full", "--annotation=from=line", "backup"]);
        run(command.env("PGSTRATA_ANNOTATION", "from=environment")).ok();
        assert_eq!(site.info()["backup"][2]["annotation"]["from"], "line");
    }

    fn included_files_are_read(version) {
        let site = Site::new(version);
        let directory = site.dir.make("conf.d");
        write_file(&directory.join("extra.conf"), "[global:backup]\nannotation=from=include\n");
        let include = format!("--config-include-path={}", directory.display());
        site.run(&[&include, "--type=full", "backup"]).ok();
        assert_eq!(site.info()["backup"][0]["annotation"]["from"], "include");
    }

    fn mistakes_are_named_with_the_nearest_word(version) {
        let site = Site::new(version);
        site.run(&["--tpye=full", "backup"]).code(exit::OPTION_INVALID).says("type");
        site.run(&["bakcup"]).code(48).says("backup");
        site.run(&["--target=x", "backup"]).code(exit::OPTION_INVALID).says("target");
        site.run(&["--type=whole", "backup"]).code(exit::OPTION_INVALID_VALUE).says("whole");
        let bare = run(&mut site.bare_command(&["backup"]));
        bare.code(exit::OPTION_REQUIRED).says("stanza");
    }

    fn secrets_are_refused_on_the_command_line(version) {
        let site = Site::new(version);
        let outcome = site.run(&["--pg1-password=hunter2", "backup"]);
        outcome.code(exit::OPTION_INVALID).never_says("hunter2");
    }

    fn help_and_version_need_no_configuration(version) {
        let bare = |words: &[&str]| run(as_server_user(program()).args(words));
        let _ = version;
        bare(&["version"]).ok().says(env!("CARGO_PKG_VERSION"));
        bare(&["help"]).ok().says("backup").says("restore").says("archive-push");
        bare(&["help", "backup"]).ok().says("--type").says("--start-fast");
        bare(&["help", "backup", "type"]).code_in(&[0]).says("full");
        bare(&[]).code_in(&[0, 30]);
    }

    fn data_directory_of_another_user_is_no_obstacle_to_reading_the_log(version) {
        let site = Site::new(version);
        site.full_backup(&[]);
        let log = site.dir.path().join("log");
        let names: Vec<String> = fs::read_dir(&log)
            .expect("directory")
            .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
            .collect();
        assert!(names.contains(&"db-backup.log".to_owned()), "{names:?}");
    }

    fn unwritable_log_directory_does_not_stop_a_backup(version) {
        let site = Site::new(version);
        let file = site.dir.path().join("not-a-directory");
        fs::write(&file, "").expect("writable");
        give_to_server_user(&file);
        let option = format!("--log-path={}", file.display());
        site.run(&[&option, "--type=full", "backup"]).ok().says("WARN");
    }

    fn json_log_is_one_object_a_line(version) {
        let site = Site::new(version);
        let options = ["--log-format=json", "--log-level-stderr=info", "--log-level-console=off"];
        let outcome = site.run(&[&options[..], &["--type=full", "backup"]].concat()).ok();
        assert!(!outcome.stderr.is_empty());
        for line in outcome.stderr.lines() {
            let event: serde_json::Value = serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("'{line}': {error}"));
            assert!(event["message"].is_string(), "{line}");
            assert!(event["level"].is_string(), "{line}");
        }
    }
}
