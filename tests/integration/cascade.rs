//! Backups of a standby that follows another standby, which is promoted while the backup runs.

use crate::support::{
    Background, Cluster, Outcome, Site, Version, exit, for_each_source, for_each_version_and_source,
};

/// A primary (pg1), a standby of it (pg3), and a standby of that (pg2), the first that is looked at.
struct Cascade {
    // Stop before the site's directory goes.
    last: Cluster,
    middle: Cluster,
    site: Site,
}

impl Cascade {
    fn new(version: Version) -> Self {
        let site = Site::new(version);
        site.primary.sql("create table t as select g as n from generate_series(1, 50000) g");
        site.full_backup(&[]);
        let middle = standby_of(&site, &site.primary, "middle");
        let last = standby_of(&site, &middle, "last");
        for (key, server) in [(2, &last), (3, &middle)] {
            site.configure(&format!(
                "pg{key}-path={}\npg{key}-port={}\npg{key}-socket-path={}\npg{key}-user=postgres",
                server.data_dir.display(),
                server.port(),
                server.socket_dir.display()
            ));
        }
        Self { last, middle, site }
    }

    /// Starts a backup of the last standby.
    fn backup(&self, options: &[&str]) -> Background {
        let own = ["--type=full", "--backup-standby=y", "--log-level-stderr=info"];
        self.site.slow_backup(&[&own, options].concat())
    }

    /// Promotes the standby in the middle in place of its primary, and has the last one follow it.
    fn promote(&self) {
        self.site.primary.sql("insert into t values (-1)");
        self.site.primary.archive_wal();
        self.site.primary.sql("insert into t values (-2)");
        self.site.primary.stop();
        self.middle.promote();
        self.middle.sql("insert into t values (-3)");
        self.middle.sql("checkpoint");
        let written = self.middle.value("select pg_current_wal_lsn()");
        let replayed = format!("select (pg_last_wal_replay_lsn() >= '{written}')::text");
        self.last.wait_for_value(&replayed, "true", 60);
        // A restartpoint, by which the server knows that it needs WAL of the new timeline.
        self.last.sql("checkpoint");
    }

    fn segments_of_last_backup(&self) -> (String, String) {
        let info = self.site.info();
        let archive =
            info["backup"].as_array().and_then(|all| all.last()).expect("a backup")["archive"]
                .clone();
        let name = |at: &str| archive[at].as_str().expect("a segment").to_owned();
        (name("start"), name("stop"))
    }
}

fn standby_of(site: &Site, upstream: &Cluster, name: &str) -> Cluster {
    let conninfo = format!(
        "--recovery-option=primary_conninfo=host={} port={} user=postgres",
        upstream.socket_dir.display(),
        upstream.port()
    );
    let restored = site.restore(name, &["--type=standby", &conninfo]).archiving();
    let standby = restored.setting("wal_retrieve_retry_interval", "200ms").start();
    let streaming = "select count(*) from pg_stat_wal_receiver where status = 'streaming'";
    standby.wait_for_value(streaming, "1", 60);
    standby
}

for_each_version_and_source! {
    fn promotion_of_the_upstream_in_the_middle_is_followed(version) {
        let cascade = Cascade::new(version);
        let running = cascade.backup(&[]);
        cascade.promote();
        // Nothing ends the last segment but the backup, which has to find the new primary.
        running.finish().ok().says("from timeline 1 to 2");
        let (start, stop) = cascade.segments_of_last_backup();
        assert!(start.starts_with("00000001") && stop.starts_with("00000002"), "{start} {stop}");
        cascade.middle.sql("insert into t values (-4)");
        cascade.middle.archive_wal();
        cascade.site.run(&["verify"]).ok();
        let set = format!("--set={}", cascade.site.last_label());
        cascade.site.run(&[&set, "verify"]).ok();
        let restored = cascade.site.restore("latest", &[&set]).verified().start_primary();
        assert_eq!(restored.fingerprint(), cascade.middle.fingerprint());
        drop(restored);
        let options = [&set, "--type=immediate", "--target-action=promote"];
        let restored = cascade.site.restore("immediate", &options).verified().start_primary();
        assert_eq!(restored.value("select count(*) from t where n in (-1, -2, -3)"), "3");
    }
}

for_each_source! {
    fn history_file_that_does_not_come_is_named(version) {
        let cascade = Cascade::new(version);
        let before = cascade.site.labels();
        let running = cascade.backup(&["--archive-timeout=2s"]);
        cascade.middle.sql("alter system set archive_command = 'false'");
        cascade.middle.sql("select pg_reload_conf()");
        cascade.promote();
        running.finish().code(exit::ARCHIVE_TIMEOUT).says("timeline history file 00000002.history");
        assert_eq!(cascade.site.labels(), before);
    }

    fn lost_history_file_is_a_fault(version) {
        let cascade = Cascade::new(version);
        let running = cascade.backup(&[]);
        cascade.promote();
        running.finish().ok();
        for object in cascade.site.archived("00000002.history") {
            std::fs::remove_file(object).expect("repository is writable");
        }
        let says = |outcome: Outcome| { outcome.says("00000002.history"); };
        says(cascade.site.run(&["--output=text", "verify"]).code(exit::FILE_MISSING));
        says(cascade.site.run(&["info"]).ok());
        let set = format!("--set={}", cascade.site.last_label());
        let data_dir = cascade.site.dir.make("r");
        says(cascade.site.restore_into(&data_dir, &[&set]).code(exit::FILE_MISSING));
        assert_eq!(std::fs::read_dir(&data_dir).expect("directory").count(), 0);
    }
}
