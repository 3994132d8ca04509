//! A file system for OpenSSH's server that can be out of room, or without links, or slow, when a test says so and without
//! the rights that a real one would take: a small library that the loader puts between the two.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use super::{host::scratch, outcome::must_succeed};

/// A way to misbehave: a file of this name in the directory of the server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bend {
    /// There is no room, and the server says so to whoever asks.
    DiskFull,
    /// The user may not have more, which only the failure of a write tells.
    OverQuota,
    /// There are no hard links.
    NoLinks,
    /// A link is made only when another one of the same name is asked for.
    LateLink,
}

impl Bend {
    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::DiskFull => "disk-full",
            Self::OverQuota => "over-quota",
            Self::NoLinks => "no-links",
            Self::LateLink => "late-link",
        }
    }
}

/// A file that is made when a link is being held up.
pub(crate) const LINK_IS_LATE: &str = "link-is-late";
/// A file that is made when a link is refused.
pub(crate) const LINK_REFUSED: &str = "link-refused";

/// Makes a program run on the bent file system.
pub(crate) fn bend(command: &mut Command, directory: &Path) {
    command.env("LD_PRELOAD", library()).env("BENT", directory);
}

fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/support/bent.c");
        let library = scratch().join("bent.so");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-o"]).arg(&library).arg(source);
        must_succeed(compiler.arg("-ldl"));
        library
    })
}
