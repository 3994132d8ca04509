//! The second restorer, `tests/second_restorer`: a program in Python, written from `docs/repository-format.md` alone.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use super::{
    host::{as_server_user, scratch},
    version::servers_root,
};

/// The program with arguments, as the servers' user.
pub(crate) fn second_restorer(arguments: &[&str]) -> Command {
    let python = servers_root().join("second-restorer/bin/python");
    assert!(
        python.exists(),
        "the second restorer's Python is not installed ({} is missing): run scripts/install-test-servers",
        python.display()
    );
    let mut command = as_server_user(python);
    command.arg(scripts().join("restore.py")).args(arguments);
    command
}

/// Its files, at a place where the servers' user can read them.
fn scripts() -> &'static Path {
    static SCRIPTS: OnceLock<PathBuf> = OnceLock::new();
    SCRIPTS.get_or_init(|| {
        let copies = scratch().join("second_restorer");
        fs::create_dir(&copies).expect("scratch is writable");
        let originals = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/second_restorer");
        for entry in fs::read_dir(originals).expect("tests/second_restorer") {
            let path = entry.expect("entry").path();
            if path.extension().is_some_and(|extension| extension == "py") {
                let name = path.file_name().expect("a file name");
                fs::copy(&path, copies.join(name)).expect("scratch is writable");
            }
        }
        copies
    })
}
