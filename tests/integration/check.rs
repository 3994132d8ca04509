//! The check command: whether archiving works, and when it does not, why.

use crate::support::{Site, exit, for_each_version, on_one_version};

for_each_version! {
    fn working_archive_passes(version) {
        let site = Site::new(version);
        let before = site.archived("0000").len();
        site.run(&["check"]).ok();
        assert!(site.archived("0000").len() > before, "check archived nothing");
    }

    fn failing_archive_command_is_quoted(version) {
        let site = Site::new(version);
        site.primary.sql("alter system set archive_command = 'false # pgstrata %p'");
        site.primary.sql("select pg_reload_conf()");
        let segment = site.primary.value("select pg_walfile_name(pg_current_wal_lsn())");
        let outcome = site.run(&["--archive-timeout=3s", "check"]).code(exit::ARCHIVE_TIMEOUT);
        outcome.says("false … %p").says(&segment);
    }
}

on_one_version! {
    fn archive_command_that_archives_nothing_is_found_out(version) {
        let site = Site::new(version);
        site.primary.sql("alter system set archive_command = '/bin/true'");
        site.primary.sql("select pg_reload_conf()");
        let outcome = site.run(&["--archive-timeout=3s", "check"]);
        outcome.code_in(&[exit::ARCHIVE_TIMEOUT, 68]).says("archive_command");
    }

    fn stop_file_is_named_at_once(version) {
        let site = Site::new(version);
        site.run(&["stop"]).ok();
        let options = ["--archive-timeout=60s", "--output=json", "check"];
        let outcome = site.run(&options).code(exit::STOP).says("stop file exists for stanza");
        outcome.says("\"code\":62").says("run the start command");
        let lock_path = format!("--lock-path={}", site.dir.make("lock2").display());
        site.run(&[&lock_path, "--archive-timeout=2s", "check"]).code(exit::ARCHIVE_TIMEOUT);
        site.run(&["start"]).ok();
        site.run(&["check"]).ok();
    }

    fn archiving_switched_off_is_named(version) {
        let site = Site::builder(version).without_archiving().build();
        site.run(&["stanza-create"]).ok();
        site.run(&["check"]).code(exit::ARCHIVE_DISABLED).says("archive_mode");
    }

    /// Regression: a data directory that the server had been moved away from went unnoticed, and archive-get
    /// wrote into it.
    fn path_that_is_not_the_servers_data_directory_is_refused(version) {
        let site = Site::new(version);
        let copy = site.dir.path().join("copy");
        let copied = std::process::Command::new("cp").arg("-a").arg(&site.primary.data_dir).arg(&copy).status();
        assert!(copied.expect("cp runs").success());
        let gone = site.dir.path().join("gone");
        for path in [&copy, &gone] {
            let option = format!("--pg1-path={}", path.display());
            for command in ["check", "backup", "stanza-create"] {
                let refused = site.run(&[&option, command]).code(exit::DB_MISMATCH);
                refused.says("the server runs from").says(&site.primary.data_dir.display().to_string());
            }
        }
        let link = site.dir.path().join("link");
        std::os::unix::fs::symlink(&site.primary.data_dir, &link).expect("a new link");
        site.run(&[&format!("--pg1-path={}", link.display()), "check"]).ok();
    }
}
