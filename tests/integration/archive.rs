//! archive-push and archive-get: what is taken, what is refused, and what PostgreSQL is told.

use std::{fs, path::PathBuf};

use crate::support::{
    Damage, Outcome, Site, exit, for_each_version, give_to_server_user, on_one_version,
};

/// A whole segment that the site has archived, as it still stands in `pg_wal`.
fn archived_segment(site: &Site) -> (String, Vec<u8>) {
    site.primary.sql("create table if not exists filler (body text)");
    site.primary.sql("insert into filler select md5(g::text) from generate_series(1, 1000) g");
    let name = site.primary.archive_wal();
    let path = site.primary.data_dir.join("pg_wal").join(&name);
    (name, fs::read(path).expect("not recycled yet"))
}

/// Writes bytes under a WAL file's name and pushes them.
fn push(site: &Site, name: &str, bytes: &[u8]) -> Outcome {
    let path = wal_file(site, name);
    fs::write(&path, bytes).expect("writable");
    give_to_server_user(&path);
    site.run(&["archive-push", &path.display().to_string()])
}

fn wal_file(site: &Site, name: &str) -> PathBuf {
    site.dir.make("wal-in").join(name)
}

/// Fetches a WAL file; the outcome and, where there is one, the file.
fn get(site: &Site, name: &str, extra: &[&str]) -> (Outcome, Option<Vec<u8>>) {
    let target = site.dir.make("wal-out").join("RECOVERYXLOG");
    let _ = fs::remove_file(&target);
    let mut arguments = extra.to_vec();
    let text = target.display().to_string();
    arguments.extend(["archive-get", name, &text]);
    let outcome = site.run(&arguments);
    (outcome, fs::read(&target).ok())
}

/// The name of the segment after this one.
fn next(name: &str) -> String {
    let (rest, last) = name.split_at(16);
    format!("{rest}{:08X}", u32::from_str_radix(last, 16).expect("hex") + 1)
}

for_each_version! {
    fn pushed_segment_comes_back_byte_for_byte(version) {
        let site = Site::new(version);
        let (name, bytes) = archived_segment(&site);
        let (outcome, delivered) = get(&site, &name, &[]);
        outcome.ok();
        assert!(delivered.expect("delivered") == bytes);
    }

    fn same_bytes_again_are_fine_and_other_bytes_are_not(version) {
        let site = Site::new(version);
        let (name, mut bytes) = archived_segment(&site);
        push(&site, &name, &bytes).ok();
        assert_eq!(site.archived(&name).len(), 1);
        let stored = fs::read(&site.archived(&name)[0]).expect("object");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        push(&site, &name, &bytes).code(exit::ARCHIVE_DUPLICATE).says(&name);
        assert_eq!(site.archived(&name).len(), 1);
        assert!(fs::read(&site.archived(&name)[0]).expect("object") == stored);
    }

    fn segments_that_are_not_what_they_claim_are_refused(version) {
        let site = Site::new(version);
        let (name, bytes) = archived_segment(&site);
        let fresh = next(&next(&next(&name)));
        let mut wrong_magic = bytes.clone();
        wrong_magic[0] ^= 0xff;
        let cases: [(&str, &[u8]); 5] = [
            ("truncated", &bytes[..bytes.len() - 8192]),
            ("empty", &[]),
            ("zeroed", &vec![0; bytes.len()]),
            ("recycled, so its page address is that of another segment", &bytes),
            ("of another format", &wrong_magic),
        ];
        for (what, bytes) in cases {
            let outcome = push(&site, &fresh, bytes);
            assert_ne!(outcome.code, 0, "{what}: {outcome}");
            assert!(outcome.has(&fresh), "{what} is not named: {outcome}");
            assert!(site.archived(&fresh).is_empty(), "{what} was taken");
        }
    }

    fn segment_of_a_later_timeline_than_its_name_is_refused(version) {
        let site = Site::new(version);
        let (name, mut bytes) = archived_segment(&site);
        let fresh = next(&next(&next(&name)));
        // The page header: magic, flags, timeline, page address.
        bytes[4..8].copy_from_slice(&5_u32.to_ne_bytes());
        bytes[8..16].copy_from_slice(&(u64::from_str_radix(&fresh[16..], 16).expect("hex") << 24).to_ne_bytes());
        push(&site, &fresh, &bytes).failed().says(&fresh);
        assert!(site.archived(&fresh).is_empty());
        // The first segment after a fork begins with pages of the timeline before: that one is right.
        bytes[4..8].copy_from_slice(&1_u32.to_ne_bytes());
        let after_a_fork = format!("00000002{}", &fresh[8..]);
        push(&site, &after_a_fork, &bytes).ok();
    }

    fn absent_segment_is_exit_code_one(version) {
        let site = Site::new(version);
        for name in ["0000000100000000000000F0", "00000002.history", "0000000100000000000000F0.partial"] {
            let (outcome, delivered) = get(&site, name, &[]);
            outcome.code(1);
            assert!(delivered.is_none(), "{name} was written");
        }
    }

    fn damaged_segment_stops_recovery_instead_of_ending_it(version) {
        let site = Site::new(version);
        site.primary.sql("create table t (row int)");
        site.full_backup(&[]);
        let mut segments = Vec::new();
        for row in 1..=3 {
            site.primary.sql(&format!("insert into t values ({row})"));
            segments.push(site.primary.archive_wal());
        }
        let object = site.archived(&segments[1])[0].clone();
        Damage::FlipAt(500).during(&object, || {
            let restored = site.restore("r", &[]);
            let log = match restored.try_start() {
                Err(error) => error.log,
                Ok(cluster) => {
                    cluster.wait_until_down(90);
                    cluster.log()
                }
            };
            assert!(!log.contains("selected new timeline"), "promoted over damaged WAL:\n{log}");
        });
        // With the object as it was, the very same directory recovers to the end.
        let restored = crate::support::Restored::new(version, &site.dir.path().join("r"));
        assert_eq!(restored.start_primary().value("select count(*) from t"), "3");
    }
}

on_one_version! {
    fn damaged_segment_is_never_delivered(version) {
        let site = Site::new(version);
        let (name, bytes) = archived_segment(&site);
        let object = site.archived(&name)[0].clone();
        let damages = Damage::ALL.iter().filter(|damage| **damage != Damage::Gone);
        for damage in damages {
            damage.during(&object, || {
                let (outcome, delivered) = get(&site, &name, &[]);
                assert!(outcome.code > 125 || outcome.code < 0, "{damage:?}: {outcome}");
                assert!(outcome.has(&name), "{damage:?}: {outcome}");
                assert!(delivered.is_none(), "{damage:?}: delivered all the same");
            });
        }
        let (outcome, delivered) = get(&site, &name, &[]);
        outcome.ok();
        assert!(delivered.expect("delivered") == bytes);
    }

    fn an_archive_that_is_not_mounted_proves_no_absence(version) {
        let site = Site::new(version);
        site.full_backup(&[]);
        site.primary.stop();
        let target = site.primary.data_dir.join("pg_wal/RECOVERYXLOG").display().to_string();
        let absent = "0000000100000000000000F0";
        site.run(&["archive-get", absent, &target]).code(1);
        let (archive, away) = (site.repository().join("archive"), site.dir.path().join("away"));
        fs::rename(&archive, &away).expect("writable");
        let missing = site.run(&["archive-get", absent, &target]);
        assert!(missing.code > 125, "{missing}");
        fs::create_dir(&archive).expect("a mount point");
        give_to_server_user(&archive);
        let empty = site.run(&["archive-get", "00000002.history", &target]);
        assert!(empty.code > 125 && empty.has("is the disk of the archive mounted?"), "{empty}");
        // The directories stay where the files are moved away.
        let hollow = archive.join("db").join(format!("{version}-1")).join("0000000100000000");
        fs::create_dir_all(&hollow).expect("writable");
        give_to_server_user(&archive);
        let hollow = site.run(&["archive-get", absent, &target]);
        assert!(hollow.code > 125 && hollow.has("is the disk of the archive mounted?"), "{hollow}");
    }

    fn unreadable_repository_is_not_taken_for_an_empty_one(version) {
        let site = Site::new(version);
        let (name, _) = archived_segment(&site);
        site.primary.stop();
        let (repository, away) = (site.repository(), site.dir.path().join("away"));
        fs::rename(&repository, &away).expect("writable");
        let (outcome, delivered) = get(&site, &name, &[]);
        assert!(outcome.code > 125, "{outcome}");
        assert!(delivered.is_none());
        fs::rename(&away, &repository).expect("writable");
    }

    fn history_files_are_kept_and_immutable(version) {
        let site = Site::new(version);
        let text = "1\t0/3000000\tno recovery target specified\n";
        push(&site, "00000002.history", text.as_bytes()).ok();
        push(&site, "00000002.history", text.as_bytes()).ok();
        let other = text.replace("0/3", "0/4");
        push(&site, "00000002.history", other.as_bytes()).code(exit::ARCHIVE_DUPLICATE);
        let (outcome, delivered) = get(&site, "00000002.history", &[]);
        outcome.ok();
        assert_eq!(delivered.expect("delivered"), text.as_bytes());
    }

    fn empty_backup_history_file_does_not_block_the_archive(version) {
        let site = Site::new(version);
        let outcome = push(&site, "000000010000000000000005.00000028.backup", b"");
        outcome.ok().says("WARN");
    }

    fn partial_segment_does_not_stand_in_the_way_of_the_whole_one(version) {
        let site = Site::new(version);
        let (name, bytes) = archived_segment(&site);
        let partial = format!("{name}.partial");
        push(&site, &partial, &bytes).ok();
        push(&site, &name, &bytes).ok();
        let (outcome, delivered) = get(&site, &name, &[]);
        outcome.ok();
        assert!(delivered.expect("delivered") == bytes);
        let (outcome, delivered) = get(&site, &partial, &[]);
        outcome.ok();
        assert!(delivered.expect("delivered") == bytes);
    }

    fn names_that_are_no_wal_files_are_refused(version) {
        let site = Site::new(version);
        for name in ["nonsense", "../../etc/passwd", "00000001000000000000000g", ""] {
            let (outcome, delivered) = get(&site, name, &[]);
            assert_ne!(outcome.code, 0, "{outcome}");
            assert!(delivered.is_none());
        }
        push(&site, "nonsense", b"x").failed();
    }
}
