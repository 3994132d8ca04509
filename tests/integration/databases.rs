//! Restoring some databases: the others come back without content, WAL is replayed over them, and they can
//! be dropped.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use crate::support::{Cluster, Site, Version, exit, for_each_version, on_one_version};

const ROWS: &str = "create table t as select g, md5(g::text) m from generate_series(1, 20000) g";

/// Databases `app` and `other`, the latter with a table in a tablespace; all change after the backup.
fn site(version: Version) -> Site {
    let site = Site::new(version);
    let space = site.dir.make("space");
    site.primary.sql(&format!("create tablespace ts location '{}'", space.display()));
    for database in ["app", "other"] {
        site.primary.sql(&format!("create database {database}"));
        run(&site.primary, database, ROWS);
    }
    run(&site.primary, "other", "create table u tablespace ts as select * from t");
    site.full_backup(&[]);
    for database in ["app", "other"] {
        run(&site.primary, database, "update t set m = 'new' where g % 7 = 0");
        run(&site.primary, database, "create index on t (m)");
    }
    run(&site.primary, "other", "insert into u select * from t");
    run(&site.primary, "other", "truncate t");
    run(&site.primary, "other", "vacuum u");
    site.primary.archive_wal();
    site
}

fn run(cluster: &Cluster, database: &str, sql: &str) -> Vec<Vec<Option<String>>> {
    cluster.try_sql_in(database, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Bytes on disk below a directory.
fn allocated(directory: &Path) -> u64 {
    let entries =
        fs::read_dir(directory).expect("directory").map(|entry| entry.expect("entry").path());
    entries
        .map(|path| {
            if path.is_dir() {
                allocated(&path)
            } else {
                fs::metadata(path).expect("file").blocks() * 512
            }
        })
        .sum()
}

fn moved(site: &Site) -> String {
    format!("--tablespace-map=ts={}", site.dir.make("moved").display())
}

for_each_version! {
    fn database_left_out_is_empty_and_can_be_dropped(version) {
        let site = site(version);
        let expected = run(&site.primary, "app", "select count(*), md5(string_agg(t::text, '' order by g)) from t");
        let restored = site.restore("r", &["--db-include=app", &moved(&site)]);
        let oid = site.primary.value("select oid from pg_database where datname = 'other'");
        let directory = restored.path().join("base").join(&oid);
        assert!(directory.join("PG_VERSION").exists());
        let sizes: u64 = fs::read_dir(&directory).expect("directory")
            .map(|entry| entry.expect("entry").metadata().expect("file").len()).sum();
        assert!(sizes > 5_000_000, "{sizes}");
        assert!(allocated(&directory) < 100_000, "{}", allocated(&directory));
        let cluster = restored.start_primary();
        assert_eq!(run(&cluster, "app", "select count(*), md5(string_agg(t::text, '' order by g)) from t"), expected);
        assert!(cluster.try_sql_in("other", "select 1").is_err());
        cluster.sql("drop database other");
        cluster.sql("drop tablespace ts");
        assert!(!directory.join("PG_VERSION").exists());
        cluster.sql("create database fresh");
        run(&cluster, "fresh", ROWS);
        run(&cluster, "app", "update t set m = 'again'");
        cluster.stop();
        cluster.start();
        assert_eq!(cluster.value("select count(*) from pg_database where datname = 'other'"), "0");
    }
}

on_one_version! {
    fn database_excluded_by_oid_is_left_out_over_existing_files(version) {
        let site = site(version);
        let oid = site.primary.value("select oid from pg_database where datname = 'other'");
        let map = moved(&site);
        let restored = site.restore("r", &[&map]).verified();
        let directory = restored.path().join("base").join(&oid);
        assert!(allocated(&directory) > 1_000_000);
        let exclude = format!("--db-exclude={oid}");
        site.restore_into(restored.path(), &["--delta", &exclude, &map]).ok();
        assert!(allocated(&directory) < 100_000);
        let cluster = restored.start_primary();
        assert_eq!(run(&cluster, "app", "select count(*) from t where m = 'new'")[0][0].as_deref(), Some("2857"));
        cluster.sql("drop database other");
    }

    fn databases_that_cannot_be_chosen_are_refused_untouched(version) {
        let site = site(version);
        let data_dir = site.dir.make("r");
        for (option, code, said) in [
            ("--db-include=nothing", exit::DB_MISSING, "does not exist"),
            ("--db-exclude=4711", exit::DB_MISSING, "does not exist"),
            ("--db-include=postgres", exit::DB_INVALID, "included by default"),
        ] {
            site.restore_into(&data_dir, &[option]).code(code).says(said);
            assert_eq!(fs::read_dir(&data_dir).expect("directory").count(), 0);
        }
    }
}
