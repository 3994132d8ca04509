//! The ground the other tests stand on: servers of every version start, in every form the tests ask
//! for, and the checks that `support` makes do find what is wrong.

use std::fs;

use crate::support::{Site, TlsFiles, WriteLoad, for_each_version, on_one_version, pg_amcheck};

for_each_version! {
    fn server_runs_and_answers(version) {
        let site = Site::builder(version).without_archiving().build_without_stanza();
        let reported = site.primary.value("show server_version_num");
        assert_eq!(reported.parse::<u32>().expect("a number") / 10000, version.major());
        assert_eq!(site.primary.value("show data_checksums"), "on");
        let load = WriteLoad::start(&site.primary);
        assert!(load.stop() > 10);
        let before = site.primary.fingerprint();
        site.primary.kill();
        site.primary.start();
        assert_eq!(site.primary.fingerprint(), before);
        pg_amcheck(&site.primary);
    }

    fn server_speaks_tls(version) {
        let site = Site::builder(version)
            .tcp()
            .setting("ssl", "on")
            .prepare(|cluster, dir| {
                let files = TlsFiles::make(&dir.make("tls"), "IP:127.0.0.1");
                let (certificate, key) = (files.server_certificate, files.server_key);
                fs::copy(certificate, cluster.data_dir.join("server.crt")).expect("writable");
                let copy = cluster.data_dir.join("server.key");
                fs::copy(key, copy).expect("writable");
            })
            .without_archiving()
            .build_without_stanza();
        assert_eq!(site.primary.value("show ssl"), "on");
    }
}

on_one_version! {
    fn fingerprint_tells_one_row_from_another(version) {
        let site = Site::builder(version).without_archiving().build_without_stanza();
        site.primary.sql("create table t as select g from generate_series(1, 1000) g");
        let before = site.primary.fingerprint();
        site.primary.sql("update t set g = 1001 where g = 500");
        assert_ne!(site.primary.fingerprint(), before);
    }

    fn clusters_of_their_own_have_identifiers_of_their_own(version) {
        let site = Site::builder(version).own_initdb().without_archiving().build_without_stanza();
        let foreign = site.foreign_cluster("foreign");
        foreign.start();
        let identifier = "select system_identifier from pg_control_system()";
        assert_ne!(site.primary.value(identifier), foreign.value(identifier));
    }

    fn cluster_can_be_without_checksums_and_with_other_segments(version) {
        let site = Site::builder(version)
            .checksums(false)
            .wal_segment_mib(1)
            .without_archiving()
            .build_without_stanza();
        assert_eq!(site.primary.value("show data_checksums"), "off");
        assert_eq!(site.primary.value("show wal_segment_size"), "1MB");
    }
}
