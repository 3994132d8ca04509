//! Damaged pages in the cluster itself: the backup is kept, and says which pages.

use std::{fs::OpenOptions, os::unix::fs::FileExt};

use crate::support::{Site, exit, for_each_source, for_each_version_and_source};

const PAGE: u64 = 8192;

/// Makes a table of many pages, stops the server, and flips a byte in the pages named.
fn damage_pages(site: &Site, pages: &[u64]) -> String {
    site.primary.sql("create table victim as select g, repeat(md5(g::text), 8) b from generate_series(1, 20000) g");
    site.primary.sql("checkpoint");
    let relation = site.primary.value("select pg_relation_filepath('victim')");
    site.primary.stop();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(site.primary.data_dir.join(&relation))
        .expect("the relation's file");
    for page in pages {
        let mut byte = [0];
        let position = page * PAGE + 5000;
        file.read_exact_at(&mut byte, position).expect("inside the file");
        file.write_all_at(&[byte[0] ^ 0x55], position).expect("writable");
    }
    site.primary.start();
    relation
}

for_each_version_and_source! {
    fn damaged_pages_are_listed_and_the_backup_is_kept(version) {
        let site = Site::new(version);
        let relation = damage_pages(&site, &[3, 4, 9]);
        let outcome = site.run(&["--type=full", "--log-level-stderr=info", "backup"]).ok();
        let outcome = outcome.says("WARN").says(&relation);
        assert!(outcome.has("3-4, 9") || outcome.has("3, 4, 9"), "the pages are not listed: {outcome}");
        let info = site.info();
        assert_eq!(info["backup"][0]["error"], true, "{info}");
        assert_eq!(info["status"]["code"], 0, "{info}");
        let set = format!("--set={}", site.last_label());
        let shown = site.run(&[&set, "--output=json", "info"]).ok();
        let shown: serde_json::Value = serde_json::from_str(&shown.stdout).expect("JSON");
        assert_eq!(shown[0]["backup"][0]["error-list"], serde_json::json!([relation]));
        let text = site.run(&[&set, "info"]).ok();
        text.says("error list: ").says(&relation);
        // What was sent is what comes back, damage and all.
        let _ = site.restore("r", &[]).verified();
    }

    fn many_damaged_pages_are_all_found(version) {
        let site = Site::new(version);
        // The server itself names five of a file.
        let pages: Vec<u64> = (0..60).map(|n| n * 2).collect();
        let relation = damage_pages(&site, &pages);
        site.run(&["--type=full", "--log-level-stderr=info", "backup"]).ok().says(&relation).says("36, 38");
        assert_eq!(site.info()["backup"][0]["error"], true);
    }

    fn cluster_without_checksums_is_not_accused(version) {
        let site = Site::builder(version).checksums(false).build();
        damage_pages(&site, &[3]);
        site.run(&["--type=full", "backup"]).ok().never_says("checksum error");
        assert_ne!(site.info()["backup"][0]["error"], true);
    }

    fn clean_cluster_has_no_errors(version) {
        let site = Site::new(version);
        site.primary.sql("create table t as select g from generate_series(1, 100000) g");
        site.full_backup(&[]);
        assert_eq!(site.info()["backup"][0]["error"], false);
    }
}

for_each_source! {
    fn relation_that_ends_inside_a_page_is_flagged(version) {
        let site = Site::new(version);
        let relation = damage_pages(&site, &[]);
        site.primary.stop();
        let file = OpenOptions::new().write(true).open(site.primary.data_dir.join(&relation)).expect("there");
        let size = file.metadata().expect("there").len() + 100;
        file.set_len(size).expect("writable");
        site.primary.start();
        let said = format!("{relation} has {size} bytes");
        site.run(&["--type=full", "backup"]).ok().says(&said);
        assert_eq!(site.info()["backup"][0]["error"], true);
        site.run(&[&format!("--set={}", site.last_label()), "info"]).ok().says(&said);
        let _ = site.restore("r", &[]).verified();
    }

    fn checksums_that_the_cluster_does_not_have_are_not_promised(version) {
        let site = Site::builder(version).checksums(false).build();
        let options = ["--type=full", "--checksum-page", "backup"];
        site.run(&options).ok().says("checksum-page is on, but the cluster has no data checksums");
    }

    fn tablespace_inside_the_data_directory_is_warned_of(version) {
        let site = Site::new(version);
        let location = site.primary.data_dir.join("inside");
        std::fs::create_dir(&location).expect("own directory");
        crate::support::give_to_server_user(&location);
        site.primary.sql(&format!("create tablespace inner_space location '{}'", location.display()));
        site.primary.sql("create table t tablespace inner_space as select g from generate_series(1, 1000) g");
        let warning = "tablespace 'inner_space' is inside the data directory";
        site.run(&["check"]).ok().says(warning);
        site.run(&["--type=full", "backup"]).ok().says(warning);
        site.primary.archive_wal();
        let oid = site.primary.value("select oid from pg_tablespace where spcname = 'inner_space'");
        let expected = site.primary.fingerprint();
        site.primary.stop();
        let refused = site.run(&["restore", "--force"]);
        let map = format!("--tablespace-map={oid}=");
        refused.code(exit::LINK_DESTINATION).says(&map);
        let map = format!("{map}{}", site.dir.make("outside").display());
        let restored = site.restore("r", &[&map]).verified().start_primary();
        assert_eq!(restored.fingerprint(), expected);
    }
}
