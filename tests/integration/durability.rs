//! The order in which a restore changes a data directory, as the kernel sees it: after a power failure at any
//! moment PostgreSQL must not find a control file among files that are of two copies.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::support::{Outcome, Site, as_server_user, exit, on_one_version, program, run};

const CONTROL: &str = "global/pg_control";
const PENDING: &str = "global/pg_control.pgstrata";
const MARKER: &str = "pgstrata.restoring";

/// Calls that change a tree or make a change durable.
const TRACED: &str = "trace=openat,unlink,unlinkat,rmdir,mkdir,mkdirat,rename,renameat,renameat2,symlink,\
    symlinkat,link,linkat,write,pwrite64,pwritev,ftruncate,truncate,fallocate,chmod,fchmod,fchmodat,\
    fsync,fdatasync,syncfs";

/// One system call that succeeded, as strace writes it when it ends.
struct Call(String);

impl Call {
    fn is(&self, name: &str) -> bool {
        self.0.starts_with(&format!("{name}("))
            || self.0.starts_with(&format!("<... {name} resumed>"))
    }

    fn is_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.is(name))
    }

    fn names(&self, path: &Path) -> bool {
        let path = path.display();
        self.0.contains(&format!("\"{path}\"")) || self.0.contains(&format!("<{path}>"))
    }

    /// Whether it changes what is below `data`, in a way that half a restore could be seen by.
    fn changes(&self, data: &Path) -> bool {
        let changing = [
            "unlink",
            "unlinkat",
            "rmdir",
            "mkdir",
            "mkdirat",
            "rename",
            "renameat",
            "renameat2",
            "symlink",
            "symlinkat",
            "link",
            "linkat",
            "write",
            "pwrite64",
            "pwritev",
            "ftruncate",
            "truncate",
            "fallocate",
        ];
        let opens = self.is("openat") && (self.0.contains("O_TRUNC") || self.0.contains("O_CREAT"));
        let below = |path: &str| self.0.contains(&format!("{}{path}", data.display()));
        (opens || self.is_any(&changing)) && below("/")
    }
}

/// The calls of a restore in the order in which they began; where a call was cut in two by another thread, both halves
/// count as one at the place of `at_end`.
fn calls(trace: &Path, at_end: bool) -> Vec<Call> {
    let text = fs::read_to_string(trace).expect("strace wrote it");
    let mut open: Vec<(String, String, usize)> = Vec::new();
    let mut found: Vec<Option<Call>> = Vec::new();
    for line in text.lines() {
        let (process, call) = line.split_once(' ').expect("a process id first");
        let call = call.trim_start();
        if let Some(begun) = call.strip_suffix("<unfinished ...>") {
            open.push((process.to_owned(), begun.to_owned(), found.len()));
            found.push(None);
        } else if let Some(rest) = call.split_once("resumed>").map(|(_, rest)| rest) {
            let at = open.iter().position(|(of, ..)| of == process).expect("it was begun");
            let (_, begun, place) = open.remove(at);
            let whole = Some(Call(begun + rest));
            match at_end {
                true => found.push(whole),
                false => found[place] = whole,
            }
        } else {
            found.push(Some(Call(call.to_owned())));
        }
    }
    let succeeded = |call: &Call| !call.0.contains(" = -1 ");
    found.into_iter().flatten().filter(succeeded).collect()
}

fn position(calls: &[Call], what: &str, is_it: impl Fn(&Call) -> bool) -> usize {
    calls.iter().position(is_it).unwrap_or_else(|| panic!("no call: {what}"))
}

/// Restores under strace; the trace stands beside the directory.
fn traced(site: &Site, data: &Path, options: &[&str]) -> (Outcome, PathBuf) {
    let trace = data.with_extension("trace");
    let mut command = as_server_user("strace");
    command.args(["-f", "-y", "-s", "0", "-o"]).arg(&trace).args(["-e", TRACED]).arg(program());
    command.arg(format!("--config={}", site.config_file().display())).arg("--stanza=db");
    command.arg("restore").arg(format!("--pg1-path={}", data.display())).args(options);
    (run(&mut command), trace)
}

/// The control file and the marker are durable in their new state before anything else changes; at the end everything
/// else is durable before the control file gets its name.
fn check_order(trace: &Path, data: &Path, had_control_file: bool, mode: &str) {
    let control = data.join(CONTROL);
    let of_its_own =
        |call: &Call| [CONTROL, MARKER].iter().any(|name| call.names(&data.join(name)));
    let ended = calls(trace, true);
    let first_change = {
        let begun = calls(trace, false);
        let at = position(&begun, "a change", |call| call.changes(data) && !of_its_own(call));
        begun[at].0.clone()
    };
    let changed = position(&ended, "a change", |call| call.0 == first_change);
    let marker = position(&ended, "sync of the marker", |call| {
        call.is("fsync") && call.names(&data.join(MARKER))
    });
    let marked =
        position(&ended, "sync of the data directory", |call| call.is("fsync") && call.names(data));
    assert!(marker < marked && marked < changed, "{mode}: the marker is not durable first");
    if had_control_file {
        let removed = position(&ended, "removal of the control file", |call| {
            call.is_any(&["unlink", "unlinkat"]) && call.names(&control)
        });
        let synced = removed
            + position(&ended[removed..], "sync of its directory", |call| {
                call.is("fsync") && call.names(&data.join("global"))
            });
        assert!(marked < removed, "{mode}: no marker when the control file goes");
        assert!(
            synced < changed,
            "{mode}: changed before the control file is gone: {first_change}"
        );
    }
    let named = position(&ended, "the control file's name", |call| {
        call.is_any(&["rename", "renameat", "renameat2"]) && call.names(&control)
    });
    let last_change = ended[..named]
        .iter()
        .rposition(|call| call.changes(data) && !of_its_own(call))
        .expect("files were written");
    let all_synced = ended[..named].iter().rposition(|call| call.is("syncfs")).expect("syncfs");
    let own_synced =
        ended[..named].iter().rposition(|call| call.is("fsync") && call.names(&data.join(PENDING)));
    assert!(last_change < all_synced, "{mode}: not synced: {}", ended[last_change].0);
    assert!(own_synced.is_some(), "{mode}: the control file is not durable when it gets its name");
    let after = &ended[named + 1..];
    position(after, "sync of its directory", |call| {
        call.is("fsync") && call.names(&data.join("global"))
    });
    let late = after.iter().find(|call| call.changes(data));
    assert!(late.is_none(), "{mode}: changed behind the end: {}", late.expect("checked").0);
}

on_one_version! {
    fn the_control_file_goes_first_and_comes_last_durably_in_every_mode(version) {
        let site = Site::new(version);
        site.primary.sql("create table t as select g, md5(g::text) m from generate_series(1, 5000) g");
        site.primary.sql("create database other");
        site.full_backup(&[]);
        let data = site.dir.make("r");
        let largest = || {
            let mut files: Vec<PathBuf> = fs::read_dir(data.join("base/5"))
                .or_else(|_| fs::read_dir(data.join("base/1")))
                .expect("a database")
                .map(|entry| entry.expect("entry").path())
                .collect();
            files.sort_by_key(|path| fs::metadata(path).expect("file").len());
            files.pop().expect("a file")
        };
        let modes: [&[&str]; 6] = [
            &[],
            &["--delta"],
            &["--delta", "--force"],
            &["--force"],
            &["--delta", "--db-include=other"],
            &["--force", "--db-include=other"],
        ];
        for options in modes {
            let mode = format!("{options:?}");
            let had_control_file = data.join(CONTROL).exists();
            assert_eq!(had_control_file, !options.is_empty());
            if had_control_file {
                let path = largest();
                let mut bytes = fs::read(&path).expect("readable");
                bytes[9000] ^= 1;
                fs::write(&path, bytes).expect("writable");
                fs::write(data.join("base/foreign"), "foreign").expect("writable");
            }
            let (outcome, trace) = traced(&site, &data, options);
            outcome.ok();
            check_order(&trace, &data, had_control_file, &mode);
        }
    }

    fn files_without_permission_do_not_end_a_restore_half_way(version) {
        let site = Site::new(version);
        site.primary.sql("create table t as select generate_series(1, 1000)");
        site.full_backup(&[]);
        let restored = site.restore("r", &[]);
        let data = restored.path().to_owned();
        let forbid = |name: &str| {
            let mode = fs::Permissions::from_mode(0o000);
            fs::set_permissions(data.join(name), mode).expect("own file");
        };
        for options in [&["--delta"][..], &["--delta", "--force"], &["--force"]] {
            for name in ["global/pg_filenode.map", "postgresql.conf", "pg_xact/0000", "pg_xact", "base/1"] {
                forbid(name);
            }
            site.restore_into(&data, options).ok();
            assert!(data.join(CONTROL).exists());
        }
        let _ = restored.verified();
    }

    fn a_directory_of_another_user_is_refused_while_the_cluster_can_still_be_started(version) {
        if !rustix::process::geteuid().is_root() {
            // Only root can give files away.
            return;
        }
        let site = Site::new(version);
        site.full_backup(&[]);
        let restored = site.restore("r", &[]);
        let data = restored.path().to_owned();
        std::os::unix::fs::chown(data.join("global/pg_filenode.map"), Some(0), Some(0)).expect("root");
        site.restore_into(&data, &["--delta"]).ok();
        let restored = restored.verified();
        std::os::unix::fs::chown(data.join("base/1"), Some(0), Some(0)).expect("root");
        for options in [&["--delta"][..], &["--force"]] {
            site.restore_into(&data, options).code(exit::FILE_OWNER).says("base/1").says("HINT");
            assert!(data.join(CONTROL).exists() && !data.join(MARKER).exists());
        }
        drop(restored);
    }
}
