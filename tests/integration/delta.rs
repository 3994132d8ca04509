//! `restore --delta` over a data directory in any state: what differs comes back, nothing else is written.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crate::support::{Site, Version, for_each_version, on_one_version};

/// A backup, more writes, and a crash.
fn crashed(version: Version) -> (Site, Vec<String>) {
    let site = Site::new(version);
    site.primary.sql("create table t as select g, md5(g::text) m from generate_series(1, 50000) g");
    site.primary.sql("create table u as select * from t");
    site.primary.sql("create index on t (m)");
    site.full_backup(&[]);
    site.primary.sql("update t set m = 'after' where g % 9 = 0");
    site.primary.sql("delete from u where g % 2 = 0");
    site.primary.archive_wal();
    let expected = site.primary.fingerprint();
    site.primary.sql("insert into t select g, 'lost' from generate_series(1, 1000) g");
    site.primary.sql("checkpoint");
    site.primary.kill();
    fs::remove_file(site.primary.data_dir.join("postmaster.pid")).expect("the dead server's");
    (site, expected)
}

/// The files of relations, largest first.
fn relations(data_dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for database in fs::read_dir(data_dir.join("base")).expect("base") {
        for file in fs::read_dir(database.expect("entry").path()).expect("a database") {
            files.push(file.expect("entry").path());
        }
    }
    files.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).expect("file").len()));
    files
}

fn flip(path: &Path, offset: u64) {
    let mut file = OpenOptions::new().read(true).write(true).open(path).expect("file");
    let mut byte = [0];
    file.seek(SeekFrom::Start(offset))
        .and_then(|_| file.read_exact(&mut byte))
        .expect("long enough");
    byte[0] ^= 0x40;
    file.seek(SeekFrom::Start(offset)).and_then(|_| file.write_all(&byte)).expect("writable");
}

/// Pages flipped, files truncated, grown, deleted, and added.
fn wreck(data_dir: &Path) {
    let files = relations(data_dir);
    for offset in [0, 8192 * 3 + 77, 8192 * 20 + 8191] {
        flip(&files[0], offset);
        flip(&files[1], offset);
    }
    let length = fs::metadata(&files[2]).expect("file").len();
    let open = |path: &Path| OpenOptions::new().write(true).open(path).expect("file");
    open(&files[2]).set_len(length / 2 + 100).expect("writable");
    open(&files[3]).set_len(length * 2).expect("writable");
    for lost in &files[4..8] {
        fs::remove_file(lost).expect("writable");
    }
    fs::remove_file(data_dir.join("global/pg_filenode.map")).expect("there");
    fs::remove_dir_all(data_dir.join("pg_xact")).expect("there");
    let stranger = data_dir.join("base/4711");
    fs::create_dir(&stranger).expect("writable");
    for path in
        [stranger.join("1"), data_dir.join("base/foreign"), data_dir.join("pg_multixact/stray")]
    {
        File::create(path).and_then(|mut file| file.write_all(b"foreign")).expect("writable");
    }
    crate::support::give_to_server_user(&stranger);
}

for_each_version! {
    fn wrecked_data_directory_is_mended(version) {
        let (site, expected) = crashed(version);
        let data_dir = site.primary.data_dir.clone();
        wreck(&data_dir);
        site.restore_into(&data_dir, &["--delta"]).ok();
        let restored = crate::support::Restored::new(version, &data_dir).verified();
        assert!(!data_dir.join("base/4711").exists() && !data_dir.join("base/foreign").exists());
        let cluster = restored.start_primary();
        assert_eq!(cluster.fingerprint(), expected);
        crate::support::pg_amcheck(&cluster);
    }

    fn size_and_time_tell_what_a_running_server_changed(version) {
        let (site, expected) = crashed(version);
        let data_dir = site.primary.data_dir.clone();
        site.restore_into(&data_dir, &["--delta", "--force"]).ok();
        let restored = crate::support::Restored::new(version, &data_dir).verified();
        assert_eq!(restored.start_primary().fingerprint(), expected);
    }
}

on_one_version! {
    fn nothing_is_written_where_nothing_differs(version) {
        let site = Site::new(version);
        site.primary.sql("create table t as select g, md5(g::text) m from generate_series(1, 50000) g");
        // Else the file would be younger than the start of the backup, and its time not count.
        site.primary.sql("checkpoint");
        site.wait_for_the_next_second();
        site.full_backup(&[]);
        let restored = site.restore("r", &[]).verified();
        let largest = relations(restored.path()).remove(0);
        let before = fs::metadata(&largest).expect("file");
        site.restore_into(restored.path(), &["--delta"]).ok();
        let after = fs::metadata(&largest).expect("file");
        assert_eq!(before.modified().expect("time"), after.modified().expect("time"));
        // A flipped bit with the time of the backup: only comparing the blocks can tell.
        let time = before.modified().expect("time");
        flip(&largest, 9000);
        File::options().write(true).open(&largest).and_then(|file| file.set_modified(time)).expect("own file");
        let damaged = fs::read(&largest).expect("readable");
        site.restore_into(restored.path(), &["--delta", "--force"]).ok();
        let is_damaged = || fs::read(&largest).expect("readable") == damaged;
        assert!(is_damaged(), "size and time say that it is unchanged");
        site.restore_into(restored.path(), &["--delta"]).ok();
        assert!(!is_damaged());
        let _ = restored.verified();
    }
}
