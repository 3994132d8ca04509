//! Whose files are whose: repositories of other programs, directories of other users, and what root makes.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{
    Outcome, Site, as_server_user, exit, give_to_server_user, on_one_version, program, run,
};

/// A user that owns nothing here.
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The program as the user that runs the tests.
fn as_this_user(site: &Site, arguments: &[&str]) -> Outcome {
    let mut command = Command::new(program());
    command.args([format!("--config={}", site.config_file().display()), "--stanza=db".to_owned()]);
    run(command.args(arguments).env_remove("PGUSER").env_remove("PGHOST"))
}

/// Every file and directory below a directory, and its content.
fn tree(directory: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    let mut todo = vec![directory.to_owned()];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(&directory).expect("readable") {
            let path = entry.expect("entry").path();
            let content = (!path.is_dir()).then(|| fs::read(&path).expect("readable"));
            if content.is_none() {
                todo.push(path.clone());
            }
            found.push((path, content));
        }
    }
    found.sort();
    found
}

fn write_all(root: &Path, files: &[(&str, &str)]) {
    for (path, content) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("parent")).expect("writable");
        fs::write(path, content).expect("writable");
    }
    give_to_server_user(root);
}

/// What pgBackRest makes for a stanza with a backup, as far as the names go.
fn pgbackrest_tree(root: &Path, encrypted: bool) {
    let start = if encrypted { "Salted__" } else { "[backrest]\n" };
    let segment =
        format!("archive/db/15-1/0000000100000000/000000010000000000000001-{}.gz", "ab".repeat(20));
    write_all(
        root,
        &[
            ("archive/db/archive.info", start),
            ("archive/db/archive.info.copy", start),
            (&segment, start),
            ("archive/db/15-1/00000002.history", start),
            ("backup/db/backup.info", start),
            ("backup/db/backup.info.copy", start),
            ("backup/db/20260101-000000F/backup.manifest", start),
            ("backup/db/20260101-000000F/bundle/1", start),
            ("backup/db/backup.history/2026/20260101-000000F.manifest.gz", start),
        ],
    );
    fs::create_dir_all(root.join("backup/db/20260101-000000F/pg_data/pg_dynshmem")).expect("made");
    give_to_server_user(root);
}

on_one_version! {
    fn a_repository_of_pgbackrest_is_named_by_every_command_and_stays(version) {
        let site = Site::builder(version).build_without_stanza();
        pgbackrest_tree(&site.repository(), false);
        let before = tree(&site.repository());
        let label = "--set=20260101-000000F";
        let segment = site.primary.switch_wal();
        let wal = site.primary.data_dir.join("pg_wal").join(&segment).display().to_string();
        let target = site.dir.make("target");
        let target = format!("--pg1-path={}", target.display());
        for words in [
            &["stanza-create"][..],
            &["stanza-create", "--force"],
            &["stanza-upgrade"],
            &["check"],
            &["--type=full", "backup"],
            &["archive-push", &wal],
            &["expire"],
            &["expire", label],
            &["verify"],
            &["annotate", label, "--annotation=a=b"],
            &["keep", label],
            &[&target, "restore"],
        ] {
            let refused = site.run(words).code(exit::REPO_INVALID);
            refused.says("pgBackRest repository").says("repoN-path").never_says("stanza-delete");
        }
        let got = site.run(&["archive-get", &segment, "pg_wal/RECOVERYXLOG"]);
        assert!(got.code > 125, "{got}");
        site.run(&["info"]).ok().says("pgBackRest repository").says("repoN-path");
        run(&mut site.bare_command(&["info"])).ok().says("pgBackRest repository");
        site.run(&["repo-ls"]).ok().says("pgBackRest repository");
        site.run(&["stop"]).ok();
        for words in [&["stanza-delete"][..], &["stanza-delete", "--force"]] {
            site.run(words).code(exit::REPO_INVALID).says("pgBackRest repository");
        }
        assert!(tree(&site.repository()) == before, "nothing was changed");
    }

    fn an_encrypted_repository_of_pgbackrest_is_named_too(version) {
        let site = Site::builder(version)
            .option("repo1-cipher-type", "aes-256-cbc")
            .option("repo1-cipher-pass", "secret")
            .build_without_stanza();
        pgbackrest_tree(&site.repository(), true);
        let before = tree(&site.repository());
        for words in [&["stanza-create"][..], &["--type=full", "backup"], &["expire"], &["repo-key"]] {
            site.run(words).code(exit::REPO_INVALID).says("pgBackRest repository");
        }
        site.run(&["info"]).ok().says("pgBackRest repository");
        site.run(&["stop"]).ok();
        site.run(&["stanza-delete", "--force"]).code(exit::REPO_INVALID);
        assert!(tree(&site.repository()) == before, "nothing was changed");
    }

    fn what_is_not_of_this_program_survives_stanza_delete(version) {
        let site = Site::new(version);
        site.full_backup(&[]);
        let others = [
            ("backup/db/notes.txt", "a"),
            ("backup/db/20260101-000000F/base.tar", "b"),
            ("archive/db/15-1/00000002.history", "c"),
            ("stanza/db/readme", "d"),
        ];
        write_all(&site.repository(), &others);
        site.primary.stop();
        site.run(&["stop"]).ok();
        site.run(&["stanza-delete", "--force"]).ok().says("4 files that pgstrata did not write");
        assert_eq!(site.repository_files("").len(), others.len());
        site.run(&["stop"]).ok();
        let refused = site.run(&["stanza-delete", "--force"]).code(exit::PATH_NOT_EMPTY);
        refused.says("pgstrata did not write");
        assert_eq!(site.repository_files("").len(), others.len());
    }

    fn a_link_in_the_lock_directory_leads_nowhere(version) {
        let site = Site::new(version);
        let control = site.primary.data_dir.join("global/pg_control");
        let lock = site.dir.path().join("lock/db-backup-1.lock");
        let _ = fs::remove_file(&lock);
        symlink(&control, &lock).expect("writable");
        site.run(&["--type=full", "backup"]).code(exit::LOCK_ACQUIRE).says("symbolic link");
        assert_eq!(fs::metadata(&control).expect("there").len(), 8192);
        fs::remove_file(&lock).expect("writable");
        site.full_backup(&[]);
    }

    fn a_lock_directory_of_a_stranger_is_refused_and_stops_no_archiving(version) {
        let site = Site::new(version);
        let directory = site.dir.make("strange");
        fs::write(directory.join("db.stop"), "").expect("writable");
        fs::set_permissions(&directory, Permissions::from_mode(0o755)).expect("writable");
        let path = format!("--lock-path={}", directory.display());
        let segment = site.primary.archive_wal();
        let wal = site.primary.data_dir.join("pg_wal").join(&segment).display().to_string();
        if is_root() {
            for path in [directory.join("db.stop"), directory.clone()] {
                chown(path, Some(NOBODY), Some(NOBODY)).expect("root may chown");
            }
            site.run(&[&path, "archive-push", &wal]).ok().says("is ignored");
            let refused = site.run(&[&path, "--type=full", "backup"]).code(exit::LOCK_ACQUIRE);
            refused.says("belongs to user").says("HINT");
            fs::set_permissions(&directory, Permissions::from_mode(0o700)).expect("root may");
            site.run(&[&path, "archive-push", &wal]).ok().says("stop files in");
            give_to_server_user(&directory);
        }
        fs::remove_file(directory.join("db.stop")).expect("writable");
        fs::set_permissions(&directory, Permissions::from_mode(0o777)).expect("writable");
        let refused = site.run(&[&path, "--type=full", "backup"]).code(exit::LOCK_ACQUIRE);
        refused.says("every user").says("chmod o-w");
        fs::set_permissions(&directory, Permissions::from_mode(0o700)).expect("writable");
        site.run(&[&path, "--type=full", "backup"]).ok();
    }

    fn commands_of_root_do_not_lock_the_usual_user_out(version) {
        if !is_root() {
            return;
        }
        let site = Site::builder(version).build_without_stanza();
        let owner = fs::metadata(site.repository()).expect("there").uid();
        as_this_user(&site, &["stanza-create"]).ok();
        as_this_user(&site, &["--type=full", "backup"]).ok();
        as_this_user(&site, &["keep", &format!("--set={}", site.last_label())]).ok();
        as_this_user(&site, &["check"]).ok();
        as_this_user(&site, &["stop"]).ok();
        for name in ["repo", "lock", "log"] {
            let directory = site.dir.path().join(name);
            for (path, _) in tree(&directory) {
                assert_eq!(fs::metadata(&path).expect("there").uid(), owner, "{}", path.display());
            }
        }
        site.run(&["--type=incr", "backup"]).code(exit::STOP);
        site.run(&["start"]).ok();
        site.run(&["--type=incr", "backup"]).ok();
        site.primary.archive_wal();
        site.run(&["expire"]).ok();
        as_this_user(&site, &["--allow-root=n", "expire"]).code(exit::OPTION_INVALID);
    }

    fn a_stop_of_root_holds_for_every_user_without_a_lock_path(version) {
        if !is_root() {
            return;
        }
        let site = Site::new(version);
        let text = fs::read_to_string(site.config_file()).expect("readable");
        let config: String = text.lines().filter(|line| !line.starts_with("lock-path")).map(|line| format!("{}\n", line.replace("[db]", "[db-of-root]"))).collect();
        let file = site.dir.path().join("default.conf");
        fs::write(&file, config).expect("writable");
        give_to_server_user(&file);
        let words = |words: &[&str]| {
            let config = format!("--config={}", file.display());
            let all: Vec<String> = [config, "--stanza=db-of-root".to_owned()]
                .into_iter()
                .chain(words.iter().map(|word| (*word).to_owned()))
                .collect();
            all
        };
        let usual = |arguments: &[&str]| run(as_server_user(program()).args(words(arguments)));
        let root = |arguments: &[&str]| run(Command::new(program()).args(words(arguments)));
        usual(&["stanza-create"]).ok();
        root(&["stop"]).ok();
        usual(&["--type=full", "backup"]).code(exit::STOP).says("/run/pgstrata");
        root(&["start"]).ok();
        usual(&["stop"]).ok();
        usual(&["expire"]).code(exit::STOP);
        // Anybody could make a directory for root to find a stop file in.
        root(&["expire"]).ok();
        root(&["start"]).ok();
        usual(&["expire"]).ok();
    }

    fn a_file_without_permission_is_not_taken_for_a_changed_one(version) {
        let site = Site::new(version);
        let label = site.full_backup(&[]);
        let manifest = site.repository().join(format!("backup/db/{label}/manifest"));
        let shut = |mode| {
            fs::set_permissions(&manifest, Permissions::from_mode(mode)).expect("ours");
        };
        shut(0o000);
        let target = site.dir.make("target");
        let target = format!("--pg1-path={}", target.display());
        let set = format!("--set={label}");
        for words in [&["expire"][..], &[&target, &set, "restore"], &["keep", &set]] {
            let refused = site.run(words).failed();
            refused.says("belongs to user").never_says("[029]").never_says("after it was written");
        }
        site.run(&["info"]).ok().says("denied").never_says("after it was written");
        shut(0o640);
        let maps = site.repository().join(format!("backup/db/{label}/map"));
        fs::set_permissions(&maps, Permissions::from_mode(0o000)).expect("ours");
        let refused = site.run(&["--type=incr", "backup"]);
        refused.never_says("[029]").never_says("after it was written");
        fs::set_permissions(&maps, Permissions::from_mode(0o750)).expect("ours");
    }
}
