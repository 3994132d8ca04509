//! The ground the other tests stand on: servers of every version start, and what `support` says of
//! them is so.

use crate::support::{Site, for_each_version};

for_each_version! {
    fn server_runs_and_answers(version) {
        let site = Site::builder(version).without_archiving().build();
        let reported = site.primary.value("show server_version_num");
        assert_eq!(reported.parse::<u32>().expect("a number") / 10000, version.0);
        assert_eq!(site.primary.value("show data_checksums"), "on");
        site.primary.sql("create table t as select g from generate_series(1, 1000) g");
        let before = site.primary.fingerprint();
        site.primary.kill();
        site.primary.start();
        assert_eq!(site.primary.fingerprint(), before);
    }
}
