//! Damage in the repository: a restore says so and names the object; wrong bytes are never delivered.

use std::{fs, path::Path};

use crate::support::{Damage, Outcome, Restored, Site, Version, for_each_version};

fn backed_up(version: Version) -> Site {
    let site = Site::new(version);
    site.primary.sql("create table t as select g, md5(g::text) m from generate_series(1, 20000) g");
    site.primary.sql("create index on t (m)");
    site.full_backup(&[]);
    site.primary.archive_wal();
    site
}

/// Restores into an empty directory.
fn attempt(site: &Site) -> (Outcome, std::path::PathBuf) {
    let data_dir = site.dir.path().join("r");
    let _ = fs::remove_dir_all(&data_dir);
    let data_dir = site.dir.make("r");
    (site.restore_into(&data_dir, &[]), data_dir)
}

fn name_of(path: &Path) -> String {
    path.file_name().expect("a file").to_string_lossy().into_owned()
}

/// With the object damaged, a restore fails and names it; or it did not need the object, and then what
/// it wrote is right to the byte. Returns whether it failed.
fn noticed(site: &Site, version: Version, object: &Path, damage: Damage) -> bool {
    let mut failed = false;
    damage.during(object, || {
        let (outcome, data_dir) = attempt(site);
        failed = outcome.code != 0;
        if failed {
            let gone = damage == Damage::Gone;
            let label = site.repository_files("backup/db").len();
            assert!(
                gone || label == 0 || outcome.has(&name_of(object)),
                "{damage:?} of {} is not named: {outcome}",
                object.display()
            );
            assert!(
                !data_dir.join("global/pg_control").exists(),
                "half a cluster could be started"
            );
        } else {
            let _ = Restored::new(version, &data_dir).verified();
        }
    });
    failed
}

for_each_version! {
    fn damaged_backup_is_never_restored(version) {
        let site = backed_up(version);
        let label = site.last_label();
        let objects = site.repository_files(&format!("backup/db/{label}"));
        assert!(!objects.is_empty());
        let total: u64 = objects.iter().map(|path| fs::metadata(path).expect("there").len()).sum();
        let mut needed = 0;
        for object in &objects {
            let size = fs::metadata(object).expect("there").len();
            let unnoticed: Vec<&Damage> = Damage::ALL
                .iter()
                .filter(|damage| !noticed(&site, version, object, **damage))
                .collect();
            let never = unnoticed.len() == Damage::ALL.len();
            assert!(never || unnoticed.is_empty(), "{}: {unnoticed:?} unnoticed", object.display());
            if !never {
                needed += size;
            }
        }
        assert!(needed * 10 > total * 9, "restore reads {needed} of {total} bytes only");
        // The objects are as they were: all is well again.
        let (outcome, data_dir) = attempt(&site);
        outcome.ok();
        let restored = Restored::new(version, &data_dir).verified().start_primary();
        assert_eq!(restored.fingerprint(), site.primary.fingerprint());
    }
}
