//! Which server called archive-push or archive-get: the working directory and the path given decide, and no pgN-path.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::support::{Damage, Outcome, Site, exit, give_to_server_user, on_one_version, run};

/// What a server asks for.
const TARGET: &str = "pg_wal/RECOVERYXLOG";

/// A directory that is a data directory of the site's cluster, as far as the archive commands look.
fn data_directory(site: &Site, name: &str, standby: bool) -> PathBuf {
    let path = site.dir.make(name);
    for directory in ["global", "pg_wal"] {
        fs::create_dir(path.join(directory)).expect("writable");
    }
    let control = "global/pg_control";
    fs::copy(site.primary.data_dir.join(control), path.join(control)).expect("readable");
    if standby {
        fs::write(path.join("standby.signal"), "").expect("writable");
    }
    give_to_server_user(&path);
    path
}

fn run_in(site: &Site, directory: &Path, arguments: &[&str]) -> Outcome {
    run(site.command(arguments).current_dir(directory))
}

on_one_version! {
    fn relative_paths_are_of_the_working_directory(version) {
        let site = Site::new(version);
        let name = site.primary.archive_wal();
        let copy = data_directory(&site, "copy", false);
        run_in(&site, &copy, &["archive-get", &name, TARGET]).ok();
        let delivered = fs::read(copy.join(TARGET)).expect("delivered where it was asked for");
        let source = site.primary.data_dir.join("pg_wal").join(&name);
        assert!(delivered == fs::read(&source).expect("not recycled yet"));
        assert!(!site.primary.data_dir.join(TARGET).exists(), "written into another server");
        // The source has the file, the server that calls does not.
        let pushed = run_in(&site, &copy, &["archive-push", &format!("pg_wal/{name}")]);
        pushed.code(exit::FILE_MISSING);
        run_in(&site, &site.primary.data_dir, &["archive-push", &format!("pg_wal/{name}")]).ok();
    }

    fn the_server_that_calls_is_a_standby_and_not_any_that_is_configured(version) {
        let site = Site::new(version);
        let name = site.primary.archive_wal();
        let object = site.archived(&name)[0].clone();
        let standby = data_directory(&site, "standby", true);
        let recovering = data_directory(&site, "recovering", false);
        site.configure(&format!("pg2-path={}", standby.display()));
        let no_config = site.dir.path().join("none.conf");
        let no_config = format!("--config={}", no_config.display());
        let get = ["archive-get", &name, TARGET];
        Damage::CutHalf.during(&object, || {
            let stops = run_in(&site, &recovering, &get);
            assert!(stops.code > 125, "{stops}");
            let asks_again = run_in(&site, &standby, &get);
            assert!((2..=125).contains(&asks_again.code), "{asks_again}");
            let told = run_in(&site, &standby, &[&["--archive-get-stop-standby"], &get[..]].concat());
            assert!(told.code > 125, "{told}");
            let absolute = standby.join(TARGET).display().to_string();
            let by_path = site.run(&["archive-get", &name, &absolute]);
            assert!((2..=125).contains(&by_path.code), "{by_path}");
        });
        // A configuration that cannot be read is no reason to end a recovery, nor a standby.
        let without = |directory: &Path| {
            let mut command = site.bare_command(&[&[no_config.as_str(), "--stanza=db"], &get[..]].concat());
            run(command.current_dir(directory))
        };
        let outcome = without(&recovering);
        assert!(outcome.code > 125, "{outcome}");
        let outcome = without(&standby);
        assert!((2..=125).contains(&outcome.code), "{outcome}");
        for directory in [&standby, &recovering] {
            assert!(!directory.join(TARGET).exists());
        }
    }

    fn a_server_of_another_cluster_gets_nothing_and_leaves_no_history(version) {
        let site = Site::new(version);
        let name = site.primary.archive_wal();
        let foreign = site.foreign_cluster("foreign");
        let outcome = run_in(&site, &foreign.data_dir, &["archive-get", &name, TARGET]);
        assert!(outcome.code > 125, "{outcome}");
        assert!(!foreign.data_dir.join(TARGET).exists());
        let history = foreign.data_dir.join("pg_wal/00000002.history");
        fs::write(&history, "1\t0/3000000\tno recovery target specified\n").expect("writable");
        give_to_server_user(&history);
        let pushed = run_in(&site, &foreign.data_dir, &["archive-push", "pg_wal/00000002.history"]);
        pushed.code(exit::ARCHIVE_MISMATCH);
        assert!(site.archived("00000002.history").is_empty());
    }
    fn a_segment_of_an_older_cluster_proves_no_absence(version) {
        let site = Site::new(version);
        let name = site.primary.archive_wal();
        site.primary.stop();
        let other = site.foreign_cluster("other");
        let (old, new) = (&site.primary.data_dir, &other.data_dir);
        let settings = fs::read(old.join("postgresql.conf")).expect("settings");
        fs::rename(old, site.dir.path().join("aside")).expect("own directory");
        fs::write(new.join("postgresql.conf"), settings).expect("own file");
        fs::rename(new, old).expect("own directory");
        site.primary.start();
        site.run(&["stanza-upgrade"]).ok();
        site.full_backup(&[]);
        site.primary.stop();
        let get = ["archive-get", "0000000100000000000000AA", TARGET];
        run_in(&site, &site.primary.data_dir, &get).code(1);
        // The disk of the newer archive is not mounted. The older one has a segment of that name.
        let archive = site.repository().join(format!("archive/db/{version}-2"));
        fs::rename(archive, site.dir.path().join("away")).expect("own directory");
        let outcome = run_in(&site, &site.primary.data_dir, &["archive-get", &name, TARGET]);
        assert!(outcome.code > 125, "{outcome}");
    }
}
