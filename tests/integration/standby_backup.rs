//! Backups whose files come from a standby, and what happens where there is none.

use std::fs;

use crate::{
    summaries::{refusal, take},
    support::{
        Cluster, Site, SiteBuilder, exit, for_each_fixed_version, for_each_version_and_source,
        on_one_version,
    },
};

/// A primary with a table and its streaming standby, both configured: pg1 and pg2.
struct Pair {
    // Stops before the site's directory goes.
    standby: Cluster,
    site: Site,
}

impl Pair {
    fn new(builder: SiteBuilder) -> Self {
        let site = builder.build();
        site.primary.sql("create table t as select g as n from generate_series(1, 50000) g");
        site.full_backup(&[]);
        let conninfo = format!(
            "--recovery-option=primary_conninfo=host={} port={} user=postgres",
            site.primary.socket_dir.display(),
            site.primary.port()
        );
        let restored = site.restore("standby", &["--type=standby", &conninfo]);
        let standby = restored.setting("wal_retrieve_retry_interval", "200ms").start();
        let streaming = "select count(*) from pg_stat_wal_receiver where status = 'streaming'";
        standby.wait_for_value(streaming, "1", 60);
        site.configure(&format!(
            "pg2-path={}\npg2-port={}\npg2-socket-path={}\npg2-user=postgres",
            standby.data_dir.display(),
            standby.port(),
            standby.socket_dir.display()
        ));
        Self { standby, site }
    }

    fn replayed(&self) {
        let written = self.site.primary.value("select pg_current_wal_lsn()");
        let sql = format!("select (pg_last_wal_replay_lsn() >= '{written}')::text");
        self.standby.wait_for_value(&sql, "true", 60);
    }

    /// Leaves the standby as the only server that is configured.
    fn forget_the_primary(&self) {
        let text = fs::read_to_string(self.site.config_file()).expect("a configuration");
        let without: Vec<&str> = text.lines().filter(|line| !line.starts_with("pg1-")).collect();
        let text = without.join("\n").replace("pg2-", "pg1-") + "\n";
        fs::write(self.site.config_file(), text).expect("writable");
    }
}

/// Where PostgreSQL says that the files of a restored copy come from.
fn backup_from(site: &Site, name: &str) -> (Cluster, String) {
    let restored = site.restore(name, &[]).verified();
    let label = fs::read_to_string(restored.path().join("backup_label")).expect("backup_label");
    let line = label.lines().find_map(|line| line.strip_prefix("BACKUP FROM: "));
    (restored.start_primary(), line.expect("a line").to_owned())
}

for_each_version_and_source! {
    fn backup_of_a_standby_has_the_rows_of_its_primary(version) {
        let pair = Pair::new(Site::builder(version));
        pair.site.primary.sql("insert into t values (-1)");
        pair.site.primary.sql("checkpoint");
        pair.replayed();
        // Nothing ends the last segment but the backup itself.
        let outcome = pair.site.run(&["--type=full", "--backup-standby=y", "--log-level-stderr=info", "backup"]);
        outcome.ok().says("backing up from standby pg2");
        pair.site.primary.sql("insert into t values (-2)");
        pair.site.primary.archive_wal();
        let (restored, from) = backup_from(&pair.site, "restored");
        assert_eq!(from, "standby");
        assert_eq!(restored.fingerprint(), pair.site.primary.fingerprint());
    }

    fn promotion_in_the_middle_fails_the_backup(version) {
        let pair = Pair::new(Site::builder(version));
        let before = pair.site.labels();
        let running = pair.site.slow_backup(&["--type=full", "--backup-standby=y"]);
        pair.standby.promote();
        running.finish().code(exit::DB_QUERY).says("promoted");
        assert_eq!(pair.site.labels(), before);
    }
}

on_one_version! {
    fn standby_that_is_asked_for_must_be_there(version) {
        let site = Site::new(version);
        site.run(&["--backup-standby=y", "--type=full", "backup"])
            .code(exit::DB_CONNECT)
            .says("unable to find standby cluster");
        site.run(&["--backup-standby=prefer", "--type=full", "backup"])
            .ok()
            .says("no standby can be reached");
        assert_eq!(site.labels().len(), 1);
    }

    fn standby_that_is_down_is_passed_over(version) {
        let pair = Pair::new(Site::builder(version));
        pair.standby.stop();
        pair.site.run(&["--backup-standby=prefer", "--type=full", "backup"])
            .ok()
            .says("unable to check pg2")
            .says("no standby can be reached");
        pair.site.run(&["--backup-standby=y", "--type=full", "backup"]).code(exit::DB_CONNECT);
        pair.site.run(&["--type=full", "backup"]).ok();
    }

    fn primary_is_found_wherever_it_is_configured(version) {
        let pair = Pair::new(Site::builder(version));
        let text = fs::read_to_string(pair.site.config_file()).expect("a configuration");
        let swapped = text.replace("pg1-", "pg9-").replace("pg2-", "pg1-");
        fs::write(pair.site.config_file(), swapped).expect("writable");
        pair.site.run(&["--type=full", "backup"]).ok();
        pair.site.run(&["--type=full", "--backup-standby=prefer", "backup"]).ok();
        let (_restored, from) = backup_from(&pair.site, "restored");
        assert_eq!(from, "standby");
        pair.site.run(&["--log-level-stderr=info", "check"])
            .ok()
            .says("configuration (standby)")
            .says("switch wal not performed because this is a standby")
            .says("configuration (primary)")
            .says("successfully archived");
    }

    fn standby_alone_is_enough(version) {
        let pair = Pair::new(Site::builder(version).setting("archive_timeout", "1s"));
        pair.forget_the_primary();
        pair.site.run(&["--type=full", "backup"])
            .code(exit::DB_CONNECT)
            .says("unable to find primary cluster")
            .says("backup-standby=y");
        pair.site.primary.sql("insert into t values (-1)");
        pair.replayed();
        pair.site.run(&["--type=full", "--backup-standby=y", "backup"]).ok();
        pair.site.run(&["--log-level-stderr=info", "check"])
            .ok()
            .says("switch wal not performed because this is a standby");
        pair.site.primary.archive_wal();
        let (restored, from) = backup_from(&pair.site, "restored");
        assert_eq!(from, "standby");
        assert_eq!(restored.fingerprint(), pair.site.primary.fingerprint());
    }

    fn segment_that_nobody_ends_is_explained(version) {
        let pair = Pair::new(Site::builder(version));
        pair.forget_the_primary();
        pair.site.primary.sql("insert into t values (-1)");
        pair.replayed();
        let before = pair.site.labels();
        pair.site.run(&["--type=full", "--backup-standby=y", "--archive-timeout=2s", "backup"])
            .code(exit::ARCHIVE_TIMEOUT)
            .says("archive_timeout");
        assert_eq!(pair.site.labels(), before);
    }

    fn two_clusters_under_one_stanza_are_refused(version) {
        let site = Site::new(version);
        let second = |cluster: &Cluster| format!(
            "pg2-port={}\npg2-socket-path={}\npg2-user=postgres",
            cluster.port(),
            cluster.socket_dir.display()
        );
        let foreign = site.foreign_cluster("foreign");
        foreign.start();
        site.configure(&second(&foreign));
        site.run(&["--type=full", "backup"]).code(58).says("pg2");
        drop(foreign);
        let twin = Site::new(version);
        site.configure(&second(&twin.primary).replace("pg2-", "pg3-"));
        site.run(&["--type=full", "backup"]).code(exit::DB_CONNECT).says("more than one primary");
    }
}

for_each_fixed_version! {
    fn standby_tells_what_changed_once_something_has(version) {
        let pair = Pair::new(Site::builder(version).setting("summarize_wal", "on"));
        pair.site.primary.sql("checkpoint");
        pair.replayed();
        let full = take(&pair.standby, None);
        let said = refusal(&pair.standby, &full, full.facts());
        assert!(said.contains("manifest requires WAL"), "{said}");

        pair.site.primary.sql("update t set n = -n where n % 1000 = 0");
        pair.site.primary.sql("create table fresh as table t");
        pair.site.primary.sql("checkpoint");
        pair.replayed();
        let changed = take(&pair.standby, Some(&full));
        changed.assert_same_relations(&take(&pair.standby, None));
    }
}
