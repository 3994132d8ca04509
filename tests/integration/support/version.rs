//! The PostgreSQL versions under test, where their programs are, and the macro that makes one test of
//! each subject for each of them.

use std::{fmt, path::PathBuf};

/// A server that is installed: a major version, and of some a second one whose minor version is free of
/// the bugs that earlier ones have with WAL summaries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Version {
    major: u32,
    fixed: bool,
}

impl Version {
    /// The usual server of a major version. That of 17 and 18 has the bugs.
    pub(crate) const fn new(major: u32) -> Self {
        Self { major, fixed: false }
    }

    /// The server of 17 or 18 whose WAL summaries can be relied on.
    pub(crate) const fn fixed(major: u32) -> Self {
        Self { major, fixed: true }
    }

    pub(crate) fn major(self) -> u32 {
        self.major
    }

    /// The server's directory: `bin/`, `lib/` and `share/` are below it.
    pub(crate) fn home(self) -> PathBuf {
        let suffix = if self.fixed { "-fixed" } else { "" };
        let home = servers_root().join(format!("pg{}{suffix}", self.major));
        assert!(
            home.join("bin/postgres").exists(),
            "PostgreSQL {self} is not installed in {}: run scripts/install-test-servers",
            home.display()
        );
        home
    }

    /// One of the server's own programs.
    pub(crate) fn program(self, name: &str) -> PathBuf {
        let path = self.home().join("bin").join(name);
        assert!(path.exists(), "{} is missing: run scripts/install-test-servers", path.display());
        path
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let which = if self.fixed { " (fixed minor)" } else { "" };
        write!(f, "{}{which}", self.major)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pg{self}")
    }
}

/// The place `scripts/install-test-servers` installs to: the same choice, in the same order.
pub(crate) fn servers_root() -> PathBuf {
    if let Some(root) = std::env::var_os("PGSTRATA_TEST_SERVERS") {
        return root.into();
    }
    let shared = PathBuf::from("/opt/pgstrata-test");
    if rustix::process::geteuid().is_root() || shared.join("pg18/bin/pg_verifybackup").exists() {
        return shared;
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).unwrap_or_else(|| {
        PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache")
    });
    cache.join("pgstrata-test")
}

/// Makes of each function a module of the tests that the list names, so that the runner's summary names
/// both: `backup::survives_write_load::pg15`.
macro_rules! tests_with {
    ($tests:tt $($(#[$meta:meta])* fn $name:ident($version:ident) $body:block)+) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            fn check($version: $crate::support::Version) $body

            $crate::support::one_test_each! { $tests }
        }
    )+};
}
pub(crate) use tests_with;

/// The tests of a list: the name of each, its server, and the source of its backups where it says one.
macro_rules! one_test_each {
    ([$($test:ident: $server:ident($major:literal) $($source:ident)?),+ $(,)?]) => {$(
        #[test]
        fn $test() {
            let version = $crate::support::Version::$server($major);
            $crate::support::one_test_each!(@run version $($source)?)
        }
    )+};
    (@run $version:ident) => { check($version) };
    (@run $version:ident $source:ident) => {
        $crate::support::backing_up_from($crate::support::Source::$source, || check($version))
    };
}
pub(crate) use one_test_each;

/// One test a version.
macro_rules! for_each_version {
    ($($tests:tt)+) => {
        $crate::support::tests_with! {
            [pg13: new(13), pg14: new(14), pg15: new(15), pg16: new(16), pg17: new(17), pg18: new(18)]
            $($tests)+
        }
    };
}
pub(crate) use for_each_version;

/// For subjects that do not depend on the server: PostgreSQL 15 only.
macro_rules! on_one_version {
    ($($tests:tt)+) => { $crate::support::tests_with! { [pg15: new(15)] $($tests)+ } };
}
pub(crate) use on_one_version;

/// For what needs WAL summaries that can be relied on: the servers of 17 and 18 with fixed minor versions.
macro_rules! for_each_fixed_version {
    ($($tests:tt)+) => {
        $crate::support::tests_with! { [pg17_fixed: fixed(17), pg18_fixed: fixed(18)] $($tests)+ }
    };
}
pub(crate) use for_each_fixed_version;

/// For what a backup must be whichever way its files are read: each version, and each source with the
/// oldest server (which starts a backup by other functions), the newest, and one between.
macro_rules! for_each_version_and_source {
    ($($tests:tt)+) => {
        $crate::support::tests_with! {
            [
                pg13_stream: new(13) Stream, pg13_local: new(13) Local,
                pg14_local: new(14) Local,
                pg15_stream: new(15) Stream, pg15_local: new(15) Local,
                pg16_stream: new(16) Stream,
                pg17_local: new(17) Local,
                pg18_stream: new(18) Stream, pg18_local: new(18) Local,
            ]
            $($tests)+
        }
    };
}
pub(crate) use for_each_version_and_source;

/// Like [`on_one_version`], with both sources of a backup.
macro_rules! for_each_source {
    ($($tests:tt)+) => {
        $crate::support::tests_with! {
            [pg15_stream: new(15) Stream, pg15_local: new(15) Local] $($tests)+
        }
    };
}
pub(crate) use for_each_source;

/// Like [`for_each_fixed_version`], with both sources of a backup.
macro_rules! for_each_fixed_version_and_source {
    ($($tests:tt)+) => {
        $crate::support::tests_with! {
            [
                pg17_fixed_stream: fixed(17) Stream, pg17_fixed_local: fixed(17) Local,
                pg18_fixed_stream: fixed(18) Stream, pg18_fixed_local: fixed(18) Local,
            ]
            $($tests)+
        }
    };
}
pub(crate) use for_each_fixed_version_and_source;
