//! Fresh data directories, fast: `initdb` runs once for each version and kind; tests get copies.
//!
//! Copies share their system identifier. A test that needs a second, foreign cluster asks for an
//! `initdb` of its own.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use super::{
    host::{as_server_user, scratch},
    outcome::must_succeed,
    version::Version,
};

/// What kind of cluster to make.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Kind {
    pub(crate) version: Version,
    pub(crate) checksums: bool,
    pub(crate) wal_segment_mib: u32,
}

/// Makes `data_dir` a fresh cluster: a copy of the template of its kind.
pub(crate) fn copy_template(kind: Kind, data_dir: &Path) {
    let template = template_of(kind);
    must_succeed(Command::new("cp").arg("-a").arg("--reflink=auto").arg(template).arg(data_dir));
}

/// The template in the build directory; made on first use, once even when many tests ask.
fn template_of(kind: Kind) -> PathBuf {
    static MAKING: Mutex<Option<HashMap<Kind, Arc<Mutex<()>>>>> = Mutex::new(None);
    let own = {
        let mut all = MAKING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        all.get_or_insert_default().entry(kind).or_default().clone()
    };
    let _only_one = own.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(template_name(kind));
    if !path.exists() {
        let fresh = scratch().join(format!("init-{}", template_name(kind)));
        fs::create_dir(&fresh).expect("scratch is writable");
        super::give_to_server_user(&fresh);
        initdb(kind, &fresh);
        let partial = path.with_extension(format!("partial-{}", std::process::id()));
        must_succeed(Command::new("cp").arg("-a").arg(&fresh).arg(&partial));
        // Another test process may have been faster: its template is as good as ours.
        if fs::rename(&partial, &path).is_err() {
            let _ = fs::remove_dir_all(&partial);
        }
        let _ = fs::remove_dir_all(&fresh);
    }
    path
}

/// Names the server's minor version too, so that an update makes a new template.
fn template_name(kind: Kind) -> String {
    let server = must_succeed(Command::new(kind.version.program("postgres")).arg("--version"));
    let exact = server.split_whitespace().nth(2).unwrap_or("unknown");
    let checksums = if kind.checksums { "checksums" } else { "plain" };
    format!("template-{exact}-{checksums}-{}", kind.wal_segment_mib)
}

/// Runs initdb, and gives every database the amcheck extension.
pub(crate) fn initdb(kind: Kind, data_dir: &Path) {
    let mut command = as_server_user(kind.version.program("initdb"));
    command.arg("-D").arg(data_dir).args(["-U", "postgres", "-A", "trust", "--no-sync"]);
    command.args(["-E", "UTF8", "--locale=C"]);
    command.arg(format!("--wal-segsize={}", kind.wal_segment_mib));
    if kind.checksums {
        command.arg("--data-checksums");
    } else if kind.version >= Version::new(18) {
        command.arg("--no-data-checksums");
    }
    must_succeed(&mut command);
    for database in ["template1", "postgres"] {
        let single = format!(
            "echo 'create extension amcheck' | '{}' --single -D '{}' {database}",
            kind.version.program("postgres").display(),
            data_dir.display()
        );
        must_succeed(as_server_user("/bin/sh").args(["-c", &single]));
    }
}
