//! A backup is held to what the server's catalogs say: what this process cannot see, or the server does not
//! send, is never taken for something that is not there.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{
    Background, Outcome, Site, exit, for_each_source, give_to_server_user, on_one_version, run,
    tests_with, wait_until,
};

/// Each process sees another directory behind a link to this, as in a mount namespace of its own: the server's
/// processes run in the data directory, this program in the directory that the test says.
const SEEN_BY_CWD: &str = "/proc/self/cwd/..";

/// A table in a tablespace, and a database of its own.
fn fill(site: &Site) -> String {
    let location = site.dir.make("fast");
    site.primary.sql(&format!("create tablespace fast location '{}'", location.display()));
    site.primary.sql(
        "create table t tablespace fast as select g, md5(g::text) from generate_series(1, 5000) g",
    );
    site.primary.sql("create database app");
    site.primary
        .try_sql_in("app", "create table u as select g from generate_series(1, 5000) g")
        .expect("table");
    site.primary.sql("checkpoint");
    site.primary.value("select oid from pg_tablespace where spcname = 'fast'")
}

/// Puts a link at `path` of the data directory that leads to `name` beside the data directory, and elsewhere
/// for a process that runs elsewhere.
fn show_to_the_server_only(site: &Site, path: &str, name: &str) {
    site.primary.stop();
    let at = site.primary.data_dir.join(path);
    let there = site.dir.path().join(name);
    let door = site.dir.path().join("door");
    symlink(SEEN_BY_CWD, &door).expect("a new link");
    match fs::read_link(&at) {
        Ok(_) => fs::remove_file(&at).expect("own link"),
        Err(_) => fs::rename(&at, &there).expect("own directory"),
    }
    symlink(door.join(name), &at).expect("a new link");
    site.primary.start();
}

/// Runs the program in a directory.
fn run_in(site: &Site, directory: &Path, arguments: &[&str]) -> Outcome {
    let arguments = [&["--log-level-stderr=info"], arguments].concat();
    run(site.command(&arguments).current_dir(directory))
}

fn wait_until_it_copies(site: &Site, backup: &mut Background) {
    wait_until("the backup copies files", 60, || {
        assert!(backup.running(), "the backup ended too early");
        let lock = site.info()["status"]["lock"]["backup"].clone();
        lock["size-cplt"].as_u64().is_some_and(|size| size > 0)
    });
}

fn source_of_the_last(site: &Site) -> String {
    let info = site.info();
    let backups = info["backup"].as_array().expect("a list");
    backups.last().expect("a backup")["source"].as_str().expect("text").to_owned()
}

/// A directory to run in, beside which `fast` is what `make` makes of it.
fn elsewhere(site: &Site, name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    site.dir.make(name);
    let directory = site.dir.make(&format!("{name}/run"));
    let fast = site.dir.make(&format!("{name}/fast"));
    make(&fast);
    give_to_server_user(&fast);
    directory
}

tests_with! {
    [pg13: new(13), pg15: new(15), pg18: new(18)]

    /// Regression: with the data directory alone mounted in its container, the program left the tablespace
    /// out and reported success; the restored cluster had no table in it.
    fn a_tablespace_that_cannot_be_seen_is_not_left_out(version) {
        let site = Site::new(version);
        let oid = fill(&site);
        show_to_the_server_only(&site, &format!("pg_tblspc/{oid}"), "fast");
        let nowhere = site.dir.make("nowhere/run");
        let refused = run_in(&site, &nowhere, &["--type=full", "--backup-source=local", "backup"]);
        refused.code(exit::FILE_OPEN).says("tablespace 'fast'").says("cannot be seen here");
        run_in(&site, &nowhere, &["--type=full", "backup"])
            .ok()
            .says("reading files over the replication protocol")
            .says("tablespace 'fast'");
        assert_eq!(source_of_the_last(&site), "stream");
        site.primary.archive_wal();
        let map = format!("--tablespace-map=fast={}", site.dir.make("restored-fast").display());
        let restored = site.restore("r", &[&map]).verified().start_primary();
        assert_eq!(restored.fingerprint(), site.primary.fingerprint());
    }
}

on_one_version! {
    /// What is at the location here is another directory: an empty mount point, or another cluster's.
    fn another_directory_at_the_location_is_not_taken_for_the_tablespace(version) {
        let site = Site::new(version);
        let oid = fill(&site);
        let name = fs::read_dir(site.dir.path().join("fast")).expect("a location")
            .next().expect("an entry").expect("an entry").file_name();
        show_to_the_server_only(&site, &format!("pg_tblspc/{oid}"), "fast");
        let empty = elsewhere(&site, "empty", |_| {});
        let without = elsewhere(&site, "without", |fast| fs::create_dir(fast.join(&name)).expect("new"));
        let hollow = elsewhere(&site, "hollow", |fast| {
            fs::create_dir_all(fast.join(&name).join("5")).expect("new");
        });
        for directory in [empty, without, hollow] {
            let arguments = ["--type=full", "--backup-source=local", "backup"];
            run_in(&site, &directory, &arguments).code(exit::FILE_OPEN).says("cannot be seen here");
        }
        // Where the location is the server's, nothing is in the way.
        let arguments = ["--type=full", "--backup-source=local", "backup"];
        run_in(&site, &site.primary.data_dir, &arguments).ok();
    }

    /// In another mount namespace an old copy stands at the location, whole and with all names in it.
    fn an_old_copy_at_the_location_is_not_taken_for_the_tablespace(version) {
        if !rustix::process::geteuid().is_root() {
            // Only root can mount.
            return;
        }
        let site = Site::new(version);
        fill(&site);
        let (location, old) = (site.dir.path().join("fast"), site.dir.path().join("old"));
        let copied = Command::new("cp").arg("-a").arg(&location).arg(&old).status().expect("cp runs");
        assert!(copied.success());
        site.primary.sql("insert into t select g, 'new' from generate_series(1, 5000) g");
        site.primary.sql("checkpoint");
        let backup = site.command(&["--type=full", "--backup-source=local", "backup"]);
        let mut apart = Command::new("unshare");
        let script = "mount --bind \"$1\" \"$2\" && shift 2 && exec \"$@\"";
        apart.args(["--mount", "sh", "-c", script, "sh"]).arg(&old).arg(&location);
        apart.arg(backup.get_program()).args(backup.get_args());
        let refused = run(&mut apart).code(exit::FILE_OPEN);
        refused.says("the server has another file or directory there");
        assert!(site.labels().is_empty());
    }

    /// The same where nothing can be learned from the server's process: this one sees itself behind the link.
    fn an_old_copy_is_known_by_its_times(version) {
        let site = Site::new(version);
        let oid = fill(&site);
        show_to_the_server_only(&site, &format!("pg_tblspc/{oid}"), "fast");
        let location = site.dir.path().join("fast");
        // pg_stat_file gives times in seconds.
        site.wait_for_the_next_second();
        let copy = elsewhere(&site, "copy", |fast| {
            let copied = Command::new("cp").arg("-aT").arg(&location).arg(fast).status();
            assert!(copied.expect("cp runs").success());
        });
        let arguments = ["--backup-source=local", "check"];
        let refused = run_in(&site, &copy, &arguments).code(exit::FILE_OPEN);
        refused.says("the server has another file or directory there").says("the tablespace at");
        run_in(&site, &site.primary.data_dir, &arguments).ok();
        run_in(&site, &copy, &["--type=full", "backup"]).ok();
        assert_eq!(source_of_the_last(&site), "stream");
    }

    fn a_database_that_cannot_be_seen_is_not_left_out(version) {
        let site = Site::new(version);
        fill(&site);
        let oid = site.primary.value("select oid from pg_database where datname = 'app'");
        show_to_the_server_only(&site, &format!("base/{oid}"), "moved");
        let arguments = ["--type=full", "--backup-source=local", "backup"];
        let refused = run_in(&site, &site.dir.make("nowhere/run"), &arguments);
        refused.code(exit::FILE_OPEN).says("database 'app'").says("backup-source=stream");
        assert!(site.labels().is_empty());
    }

    /// The location goes away while files are read: they would all count as dropped, and come as zeros.
    fn a_tablespace_that_goes_away_in_the_middle_fails_the_backup(version) {
        let site = Site::new(version);
        let oid = fill(&site);
        show_to_the_server_only(&site, &format!("pg_tblspc/{oid}"), "fast");
        let program = elsewhere(&site, "mounted", |fast| {
            fs::remove_dir(fast).expect("empty");
            symlink(site.dir.path().join("fast"), fast).expect("a new link");
        });
        let arguments =
            ["--type=full", "--backup-source=local", "--max-rate=16384", "--process-max=1", "backup"];
        let mut backup = site.spawn_in(&program, &arguments);
        wait_until_it_copies(&site, &mut backup);
        fs::remove_file(program.parent().expect("a parent").join("fast")).expect("own link");
        backup.finish().code(exit::FILE_OPEN).says("tablespace 'fast'");
        assert!(site.labels().is_empty());
    }
}

for_each_source! {
    /// The server itself has lost the location: it sends, and lists, nothing of it, and says nothing.
    fn a_tablespace_that_the_server_lost_fails_the_backup(version) {
        let site = Site::new(version);
        fill(&site);
        let (there, away) = (site.dir.path().join("fast"), site.dir.path().join("away"));
        fs::rename(&there, &away).expect("own directory");
        site.run(&["--type=full", "backup"]).failed().says("tablespace 'fast'");
        assert!(site.labels().is_empty());
        fs::rename(&away, &there).expect("own directory");
        site.full_backup(&[]);
    }

    fn databases_and_tablespaces_come_and_go_during_a_backup(version) {
        let site = Site::new(version);
        fill(&site);
        site.primary.sql("create database passing");
        let location = site.dir.make("brief");
        let mut backup = site.spawn(&["--type=full", "--max-rate=8192", "backup"]);
        wait_until_it_copies(&site, &mut backup);
        site.primary.sql("drop database passing");
        site.primary.sql(&format!("create tablespace brief location '{}'", location.display()));
        site.primary.sql("create database late");
        site.primary.sql("drop tablespace brief");
        assert!(backup.running(), "the backup was over too early");
        backup.finish().ok().says("database 'late' was created and 'passing' dropped");
        site.primary.archive_wal();
        let map = format!("--tablespace-map-all={}", site.dir.make("all").display());
        let restored = site.restore("r", &[&map]).verified().start_primary();
        assert_eq!(restored.fingerprint(), site.primary.fingerprint());
    }

    /// Regression: recovery repeats the move with the files that the backup has of the old place, and most of
    /// them were gone when their turn came: the restored database could not be connected to.
    fn a_database_that_is_moved_during_a_backup_fails_it(version) {
        let site = Site::new(version);
        fill(&site);
        let mut backup = site.spawn(&["--type=full", "--max-rate=8192", "backup"]);
        wait_until_it_copies(&site, &mut backup);
        site.primary.sql("alter database app set tablespace fast");
        assert!(backup.running(), "the backup was over too early");
        backup.finish().code(exit::FILE_MISSING).says("database 'app' was moved");
        assert!(site.labels().is_empty());
        site.full_backup(&[]);
    }
}
