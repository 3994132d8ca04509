//! Standby servers made from a backup.

use crate::support::{Site, for_each_version};

for_each_version! {
    fn standby_streams_from_its_primary(version) {
        let site = Site::new(version);
        site.primary.sql("create table t (row int)");
        site.full_backup(&[]);
        let conninfo = format!(
            "--recovery-option=primary_conninfo=host={} port={} user=postgres",
            site.primary.socket_dir.display(),
            site.primary.port()
        );
        let restored = site.restore("standby", &["--type=standby", &conninfo]).verified();
        assert!(restored.path().join("standby.signal").exists());
        assert!(!restored.path().join("recovery.signal").exists());
        let standby = restored.setting("wal_retrieve_retry_interval", "200ms").start();
        site.primary.sql("insert into t values (42)");
        standby.wait_for_value("select count(*) from t", "1", 60);
        assert_eq!(standby.value("select pg_is_in_recovery()"), "t");
        let streaming = "select count(*) from pg_stat_wal_receiver where status = 'streaming'";
        standby.wait_for_value(streaming, "1", 60);
    }

    fn standby_follows_the_archive(version) {
        let site = Site::new(version);
        site.primary.sql("create table t (row int)");
        site.full_backup(&[]);
        let restored = site.restore("standby", &["--type=standby"]).verified();
        let standby = restored.setting("wal_retrieve_retry_interval", "200ms").start();
        for row in 1..=3 {
            site.primary.sql(&format!("insert into t values ({row})"));
            site.primary.archive_wal();
            standby.wait_for_value("select count(*) from t", &row.to_string(), 60);
        }
        assert_eq!(standby.value("select pg_is_in_recovery()"), "t");
        standby.promote();
        standby.sql("insert into t values (4)");
    }
}
