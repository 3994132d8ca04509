//! Tablespaces and links: moved on the way back, never written through to the living cluster.

use std::{fs, path::Path};

use crate::support::{Site, Version, exit, for_each_source, for_each_version_and_source};

/// A site with two tablespaces, a table in one and a database in the other, backed up.
fn site_with_tablespaces(version: Version) -> Site {
    let site = Site::new(version);
    for name in ["ts1", "ts two"] {
        let location = site.dir.make(name);
        site.primary
            .sql(&format!("create tablespace \"{name}\" location '{}'", location.display()));
    }
    site.primary.sql("create table t tablespace ts1 as select g from generate_series(1, 10000) g");
    site.primary.sql("create database elsewhere tablespace \"ts two\"");
    site.primary
        .try_sql_in(
            "elsewhere",
            "create table u as select md5(g::text) m from generate_series(1, 5000) g",
        )
        .expect("table");
    site.full_backup(&[]);
    site.primary.archive_wal();
    site
}

fn oid_of(site: &Site, name: &str) -> String {
    site.primary.value(&format!("select oid from pg_tablespace where spcname = '{name}'"))
}

fn link_of(data_dir: &Path, oid: &str) -> String {
    let link = data_dir.join("pg_tblspc").join(oid);
    fs::read_link(link).expect("a link").display().to_string()
}

for_each_version_and_source! {
    fn tablespaces_go_where_the_map_says(version) {
        let site = site_with_tablespaces(version);
        let (one, two) = (oid_of(&site, "ts1"), oid_of(&site, "ts two"));
        let (new_one, new_two) = (site.dir.make("new1"), site.dir.make("new2"));
        let by_name = format!("--tablespace-map=ts1={}", new_one.display());
        let by_oid = format!("--tablespace-map={two}={}", new_two.display());
        let restored = site.restore("r", &[&by_name, &by_oid]).verified();
        assert_eq!(link_of(restored.path(), &one), new_one.display().to_string());
        assert_eq!(link_of(restored.path(), &two), new_two.display().to_string());
        let restored = restored.start_primary();
        assert_eq!(restored.fingerprint(), site.primary.fingerprint());
    }

    fn map_all_moves_every_tablespace(version) {
        let site = site_with_tablespaces(version);
        let all = site.dir.make("all");
        let restored = site.restore("r", &[&format!("--tablespace-map-all={}", all.display())]).verified();
        for name in ["ts1", "ts two"] {
            let link = link_of(restored.path(), &oid_of(&site, name));
            assert!(Path::new(&link).starts_with(&all), "{link}");
        }
        assert_eq!(restored.start_primary().fingerprint(), site.primary.fingerprint());
    }

    fn tablespaces_come_back_where_they_were(version) {
        let site = site_with_tablespaces(version);
        let expected = site.primary.fingerprint();
        site.primary.stop();
        for name in ["data", "ts1", "ts two"] {
            fs::remove_dir_all(site.dir.path().join(name)).expect("writable");
            site.dir.make(name);
        }
        site.restore_into(&site.primary.data_dir, &[]).ok();
        let restored = crate::support::Restored::new(version, &site.primary.data_dir).verified();
        assert_eq!(restored.start_primary().fingerprint(), expected);
    }

    fn occupied_location_is_refused(version) {
        let site = site_with_tablespaces(version);
        let before = site.primary.fingerprint();
        let data_dir = site.dir.make("r");
        site.restore_into(&data_dir, &[]).code(exit::PATH_NOT_EMPTY);
        assert_eq!(fs::read_dir(&data_dir).expect("directory").count(), 0);
        site.primary.stop();
        site.primary.start();
        assert_eq!(site.primary.fingerprint(), before);
    }
}

for_each_source! {
    fn unknown_tablespace_is_an_error(version) {
        let site = site_with_tablespaces(version);
        let all = site.dir.make("all");
        let (all, wrong) = (
            format!("--tablespace-map-all={}", all.display()),
            format!("--tablespace-map=nobody={}", all.display()),
        );
        let data_dir = site.dir.make("r");
        site.restore_into(&data_dir, &[&all, &wrong]).code(exit::TABLESPACE_MAP).says("nobody");
        assert_eq!(fs::read_dir(&data_dir).expect("directory").count(), 0);
    }

    fn wal_directory_can_be_moved_behind_a_link(version) {
        let site = Site::new(version);
        site.primary.sql("create table t as select 1");
        site.full_backup(&[]);
        site.primary.archive_wal();
        let wal = site.dir.make("wal");
        let option = format!("--link-map=pg_wal={}", wal.display());
        let restored = site.restore("r", &[&option]).verified();
        assert_eq!(fs::read_link(restored.path().join("pg_wal")).expect("a link"), wal);
        let restored = restored.start_primary();
        assert_eq!(restored.fingerprint(), site.primary.fingerprint());
        assert!(fs::read_dir(&wal).expect("directory").count() > 0);
    }

    fn set_shows_the_tablespaces(version) {
        let site = site_with_tablespaces(version);
        let set = format!("--set={}", site.last_label());
        let outcome = site.run(&[&set, "--output=json", "info"]).ok();
        let info: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
        let listed = info[0]["backup"][0]["tablespace"].as_array().expect("list").clone();
        assert_eq!(listed.len(), 2, "{outcome}");
        let first = listed.iter().find(|entry| entry["name"] == "ts1").expect("ts1");
        assert_eq!(first["oid"].to_string(), oid_of(&site, "ts1"));
        assert_eq!(first["destination"], site.dir.path().join("ts1").display().to_string());
    }
}
