//! Unusual clusters: other segment sizes, strange file names, very large and very small relations.

use std::{
    ffi::OsStr,
    fs::{self, OpenOptions},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::PathBuf,
};

use crate::support::{
    Site, Version, for_each_source, for_each_version_and_source, give_to_server_user, pg_amcheck,
};

fn round_trip(site: &Site) {
    site.full_backup(&[]);
    site.primary.sql("create table later as select g from generate_series(1, 1000) g");
    site.primary.archive_wal();
    let restored = site.restore("round-trip", &[]).verified().start_primary();
    assert_eq!(restored.fingerprint(), site.primary.fingerprint());
    pg_amcheck(&restored);
}

fn with_segment_size(version: Version, mib: u32) {
    let site = Site::builder(version).wal_segment_mib(mib).build();
    assert_eq!(
        site.primary.value(
            "select setting::bigint / 1048576 from pg_settings where name = 'wal_segment_size'"
        ),
        mib.to_string()
    );
    site.primary.sql("create table t as select g, md5(g::text) m from generate_series(1, 30000) g");
    round_trip(&site);
}

/// Names that break programs which quote, split or decode. Paths of up to 99 bytes are allowed.
const NAMES: [&[u8]; 9] = [
    b"plain.txt",
    b"two words",
    b"quote's \"both\"",
    b"new\nline",
    b"tab\tand\\backslash",
    "grün-日本語".as_bytes(),
    b"not\xffutf8\xfe",
    b"-rf",
    b"$(reboot);`id`%p",
];

for_each_version_and_source! {
    fn wal_segments_of_one_mebibyte(version) {
        with_segment_size(version, 1);
    }

    fn wal_segments_of_sixty_four_mebibytes(version) {
        with_segment_size(version, 64);
    }

    fn strange_names_come_back(version) {
        let site = Site::new(version);
        let directory = site.primary.data_dir.join("odd directory'\"");
        fs::create_dir(&directory).expect("writable");
        fs::create_dir(site.primary.data_dir.join("empty directory")).expect("writable");
        for (number, name) in NAMES.iter().enumerate() {
            fs::write(directory.join(OsStr::from_bytes(name)), vec![b'x'; number * 1000]).expect("writable");
        }
        give_to_server_user(&site.primary.data_dir);
        site.full_backup(&[]);
        let restored = site.restore("r", &[]).verified();
        assert!(restored.path().join("empty directory").is_dir());
        for (number, name) in NAMES.iter().enumerate() {
            let path = restored.path().join("odd directory'\"").join(OsStr::from_bytes(name));
            let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
            assert_eq!(bytes.len(), number * 1000, "{path:?}");
        }
        restored.start_primary();
    }

    fn empty_and_unlogged_relations(version) {
        let site = Site::new(version);
        site.primary.sql("create table empty_table (a int primary key, b text)");
        site.primary.sql("create unlogged table quick (a int primary key)");
        site.primary.sql("insert into quick select generate_series(1, 1000)");
        site.primary.sql("create table truncated as select generate_series(1, 1000) a");
        site.primary.sql("truncate truncated");
        site.primary.sql("checkpoint");
        site.full_backup(&[]);
        site.primary.archive_wal();
        let restored = site.restore("r", &[]).verified().start_primary();
        assert_eq!(restored.value("select count(*) from quick"), "0");
        assert_eq!(restored.value("select count(*) from empty_table"), "0");
        assert_eq!(restored.value("select count(*) from truncated"), "0");
        restored.sql("insert into quick values (1)");
        pg_amcheck(&restored);
    }

    fn modes_and_times_of_files_come_back(version) {
        let site = Site::new(version);
        site.primary.sql("checkpoint");
        site.full_backup(&[]);
        let restored = site.restore("r", &[]);
        for name in ["PG_VERSION", "postgresql.conf", "base/1/PG_VERSION"] {
            let (was, is) = (
                fs::metadata(site.primary.data_dir.join(name)).expect("there"),
                fs::metadata(restored.path().join(name)).expect("restored"),
            );
            assert_eq!(was.mode(), is.mode(), "{name}");
            assert_eq!(was.mtime(), is.mtime(), "{name}");
            assert_eq!(was.uid(), is.uid(), "{name}");
        }
    }
}

/// Stretches a stopped cluster's table by empty pages until it has a second file, at the cost of no disk space.
fn stretch_beyond_a_gibibyte(site: &Site, relation: &str) {
    site.primary.stop();
    let first = site.primary.data_dir.join(relation);
    let second = PathBuf::from(format!("{}.1", first.display()));
    let file = OpenOptions::new().write(true).open(&first).expect("the relation's file");
    file.set_len(1 << 30).expect("sparse files work");
    let file = fs::File::create(&second).expect("writable");
    file.set_len(24 << 20).expect("sparse files work");
    give_to_server_user(&second);
    site.primary.start();
}

for_each_source! {
    fn relation_of_more_than_a_gibibyte(version) {
        let site = Site::new(version);
        site.primary.sql("create table big as select g, md5(g::text) m from generate_series(1, 1000) g");
        site.primary.sql("checkpoint");
        let relation = site.primary.value("select pg_relation_filepath('big')");
        stretch_beyond_a_gibibyte(&site, &relation);
        site.primary.sql("insert into big select g, md5(g::text) m from generate_series(1001, 3000) g");
        site.primary.sql("checkpoint");
        site.full_backup(&[]);
        site.primary.archive_wal();
        let restored = site.restore("r", &[]).verified();
        let stored = fs::metadata(restored.path().join(&relation)).expect("restored");
        assert_eq!(stored.len(), 1 << 30);
        assert!(stored.blocks() * 512 < 64 << 20, "zero blocks were written: {} blocks", stored.blocks());
        let restored = restored.start_primary();
        assert_eq!(restored.value("select count(*) from big"), "3000");
        assert_eq!(restored.fingerprint(), site.primary.fingerprint());
    }

    fn thousands_of_small_files_are_few_objects(version) {
        let site = Site::new(version);
        site.primary.sql(
            "do $$ begin for i in 1..600 loop execute format('create table t%s (a int primary key)', i); \
             end loop; end $$",
        );
        let label = site.full_backup(&[]);
        let objects = site.repository_files(&format!("backup/db/{label}"));
        assert!(objects.len() < 30, "{} objects", objects.len());
        site.primary.archive_wal();
        let restored = site.restore("r", &[]).verified().start_primary();
        assert_eq!(restored.value("select count(*) from pg_class where relname ~ '^t[0-9]+$'"), "600");
    }
}
