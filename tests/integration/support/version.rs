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

/// Makes of each function a module with one test a version, so that the runner's summary names both:
/// `backup::survives_write_load::pg15`.
macro_rules! for_each_version {
    ($($(#[$meta:meta])* fn $name:ident($version:ident) $body:block)+) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            fn check($version: $crate::support::Version) $body

            #[test]
            fn pg13() { check($crate::support::Version::new(13)) }
            #[test]
            fn pg14() { check($crate::support::Version::new(14)) }
            #[test]
            fn pg15() { check($crate::support::Version::new(15)) }
            #[test]
            fn pg16() { check($crate::support::Version::new(16)) }
            #[test]
            fn pg17() { check($crate::support::Version::new(17)) }
            #[test]
            fn pg18() { check($crate::support::Version::new(18)) }
        }
    )+};
}
pub(crate) use for_each_version;

/// Like [`for_each_version`], for subjects that do not depend on the server: PostgreSQL 15 only.
macro_rules! on_one_version {
    ($($(#[$meta:meta])* fn $name:ident($version:ident) $body:block)+) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            fn check($version: $crate::support::Version) $body

            #[test]
            fn pg15() { check($crate::support::Version::new(15)) }
        }
    )+};
}
pub(crate) use on_one_version;

/// Like [`for_each_version`], for what needs WAL summaries that can be relied on: the servers of 17 and
/// 18 with fixed minor versions.
macro_rules! for_each_fixed_version {
    ($($(#[$meta:meta])* fn $name:ident($version:ident) $body:block)+) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            fn check($version: $crate::support::Version) $body

            #[test]
            fn pg17_fixed() { check($crate::support::Version::fixed(17)) }
            #[test]
            fn pg18_fixed() { check($crate::support::Version::fixed(18)) }
        }
    )+};
}
pub(crate) use for_each_fixed_version;

/// Like [`for_each_version`], for what a backup must be whichever way its files are read: each version
/// with both sources.
macro_rules! for_each_version_and_source {
    ($($(#[$meta:meta])* fn $name:ident($version:ident) $body:block)+) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            fn check($version: $crate::support::Version) $body

            #[test]
            fn pg13_stream() {
                $crate::support::backing_up_from($crate::support::Source::Stream, || {
                    check($crate::support::Version::new(13))
                })
            }
            #[test]
            fn pg13_local() {
                $crate::support::backing_up_from($crate::support::Source::Local, || {
                    check($crate::support::Version::new(13))
                })
            }
            #[test]
            fn pg14_stream() {
                $crate::support::backing_up_from($crate::support::Source::Stream, || {
                    check($crate::support::Version::new(14))
                })
            }
            #[test]
            fn pg14_local() {
                $crate::support::backing_up_from($crate::support::Source::Local, || {
                    check($crate::support::Version::new(14))
                })
            }
            #[test]
            fn pg15_stream() {
                $crate::support::backing_up_from($crate::support::Source::Stream, || {
                    check($crate::support::Version::new(15))
                })
            }
            #[test]
            fn pg15_local() {
                $crate::support::backing_up_from($crate::support::Source::Local, || {
                    check($crate::support::Version::new(15))
                })
            }
            #[test]
            fn pg16_stream() {
                $crate::support::backing_up_from($crate::support::Source::Stream, || {
                    check($crate::support::Version::new(16))
                })
            }
            #[test]
            fn pg16_local() {
                $crate::support::backing_up_from($crate::support::Source::Local, || {
                    check($crate::support::Version::new(16))
                })
            }
            #[test]
            fn pg17_stream() {
                $crate::support::backing_up_from($crate::support::Source::Stream, || {
                    check($crate::support::Version::new(17))
                })
            }
            #[test]
            fn pg17_local() {
                $crate::support::backing_up_from($crate::support::Source::Local, || {
                    check($crate::support::Version::new(17))
                })
            }
            #[test]
            fn pg18_stream() {
                $crate::support::backing_up_from($crate::support::Source::Stream, || {
                    check($crate::support::Version::new(18))
                })
            }
            #[test]
            fn pg18_local() {
                $crate::support::backing_up_from($crate::support::Source::Local, || {
                    check($crate::support::Version::new(18))
                })
            }
        }
    )+};
}
pub(crate) use for_each_version_and_source;

/// Like [`on_one_version`], with both sources of a backup.
macro_rules! for_each_source {
    ($($(#[$meta:meta])* fn $name:ident($version:ident) $body:block)+) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            fn check($version: $crate::support::Version) $body

            #[test]
            fn pg15_stream() {
                $crate::support::backing_up_from($crate::support::Source::Stream, || {
                    check($crate::support::Version::new(15))
                })
            }
            #[test]
            fn pg15_local() {
                $crate::support::backing_up_from($crate::support::Source::Local, || {
                    check($crate::support::Version::new(15))
                })
            }
        }
    )+};
}
pub(crate) use for_each_source;

/// Like [`for_each_fixed_version`], with both sources of a backup.
macro_rules! for_each_fixed_version_and_source {
    ($($(#[$meta:meta])* fn $name:ident($version:ident) $body:block)+) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            fn check($version: $crate::support::Version) $body

            #[test]
            fn pg17_fixed_stream() {
                $crate::support::backing_up_from($crate::support::Source::Stream, || {
                    check($crate::support::Version::fixed(17))
                })
            }
            #[test]
            fn pg17_fixed_local() {
                $crate::support::backing_up_from($crate::support::Source::Local, || {
                    check($crate::support::Version::fixed(17))
                })
            }
            #[test]
            fn pg18_fixed_stream() {
                $crate::support::backing_up_from($crate::support::Source::Stream, || {
                    check($crate::support::Version::fixed(18))
                })
            }
            #[test]
            fn pg18_fixed_local() {
                $crate::support::backing_up_from($crate::support::Source::Local, || {
                    check($crate::support::Version::fixed(18))
                })
            }
        }
    )+};
}
pub(crate) use for_each_fixed_version_and_source;
