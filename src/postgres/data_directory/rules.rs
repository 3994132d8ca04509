//! Names excluded from a backup, by the rules of BASE_BACKUP (`sendDir`, `excludeFiles` and `excludeDirContents` in
//! `src/backend/backup/basebackup.c`; names of relation files in `storage/file/reinit.c` and `storage/file/fd.c`).
//! Pure functions on names.

use std::collections::HashSet;

use crate::types::PgVersion;

/// Files and directories excluded anywhere.
const EXCLUDED: [&[u8]; 7] = [
    b"postgresql.auto.conf.tmp",
    b"current_logfiles.tmp",
    b"backup_label",
    b"tablespace_map",
    b"backup_manifest",
    b"postmaster.pid",
    b"postmaster.opts",
];

/// Created by macOS. PostgreSQL 13 and 14 send it.
const MACOS: &[u8] = b".DS_Store";

/// Prefixes of excluded names: temporary files, and the relation cache with its temporary files.
const EXCLUDED_PREFIXES: [&[u8]; 2] = [b"pgsql_tmp", b"pg_internal.init"];

/// Directories backed up empty, anywhere: the server checks the name, not the path.
const EMPTIED: [&[u8]; 7] = [
    b"pg_stat_tmp",
    b"pg_replslot",
    b"pg_dynshmem",
    b"pg_notify",
    b"pg_serial",
    b"pg_snapshots",
    b"pg_subtrans",
];

const FORKS: [&[u8]; 3] = [b"fsm", b"vm", INIT];
const INIT: &[u8] = b"init";

/// Digits of a relation file number up to version 16.
const NUMBER_DIGITS_MAX: usize = 10;

/// Whether an entry of this name is excluded, whatever its type and directory.
pub(super) fn is_excluded(name: &[u8], version: PgVersion) -> bool {
    EXCLUDED.contains(&name)
        || EXCLUDED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || name == MACOS && version.major() >= 15
}

/// Whether a directory of this name is backed up empty.
pub(super) fn is_emptied(name: &[u8]) -> bool {
    EMPTIED.contains(&name)
}

/// Directories in pg_wal that a backup has; pg_wal is otherwise empty.
pub(super) fn wal_directories(version: PgVersion) -> &'static [&'static [u8]] {
    match version.major() {
        ..=16 => &[b"pg_wal/archive_status"],
        _ => &[b"pg_wal/archive_status", b"pg_wal/summaries"],
    }
}

/// The relation files excluded from one directory: temporary ones, and those of unlogged relations except the init
/// fork, from which the server recreates the others.
pub(super) struct RelationRules<'a> {
    version: PgVersion,
    has_temporary: bool,
    /// Numbers of the relations with an init fork in the directory.
    unlogged: HashSet<&'a [u8]>,
}

impl<'a> RelationRules<'a> {
    /// The rules for the directory `path` with the entries `names`; `path` is empty for the data directory.
    pub(super) fn new(
        path: &[u8],
        version: PgVersion,
        version_directory: &str,
        names: impl Iterator<Item = &'a [u8]>,
    ) -> Self {
        let has_temporary = is_database(path, version_directory.as_bytes());
        // PostgreSQL 17 on. `global` has no unlogged relations.
        let is_global = path == b"global" && version.major() >= 17;
        let unlogged = if has_temporary || is_global {
            names.filter_map(|name| with_init_fork(name)).collect()
        } else {
            HashSet::new()
        };
        Self { version, has_temporary, unlogged }
    }

    pub(super) fn exclude(&self, name: &[u8]) -> bool {
        self.is_unlogged(name) || self.has_temporary && is_temporary_relation(name)
    }

    fn is_unlogged(&self, name: &[u8]) -> bool {
        !self.unlogged.is_empty()
            && relation_number(name, self.version)
                .is_some_and(|number| self.unlogged.contains(number))
    }
}

/// The number of the relation, if the name is that of its init fork.
fn with_init_fork(name: &[u8]) -> Option<&[u8]> {
    let number = name.strip_suffix(b"_init")?;
    number.iter().all(u8::is_ascii_digit).then_some(number)
}

/// Whether the directory is that of a database. The server compares only as many bytes as the parent's name has, so a
/// parent that is a prefix of `base`, such as the data directory itself, counts too.
fn is_database(path: &[u8], version_directory: &[u8]) -> bool {
    let (parent, name) = match path.iter().rposition(|&b| b == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&path[..0], path),
    };
    !name.is_empty()
        && name.iter().all(u8::is_ascii_digit)
        && (b"base".starts_with(parent) || parent.ends_with(version_directory))
}

/// The number in the name of a relation file; `None` for an init fork.
fn relation_number(name: &[u8], version: PgVersion) -> Option<&[u8]> {
    let (number, rest) = digits(name)?;
    let (fork, rest) = fork(rest)?;
    let segment = segment(rest)?;
    let valid = match version.major() {
        ..=16 => number.len() <= NUMBER_DIGITS_MAX,
        // From 17 on, a name with leading zeros is not that of a relation file.
        _ => is_canonical(number) && segment.is_none_or(is_canonical),
    };
    (valid && fork != Some(INIT)).then_some(number)
}

/// Whether the name is that of a temporary relation: `t3_16384`, optionally with fork and segment.
fn is_temporary_relation(name: &[u8]) -> bool {
    let file = || {
        let (_, rest) = digits(name.strip_prefix(b"t")?)?;
        let (_, rest) = digits(rest.strip_prefix(b"_")?)?;
        segment(fork(rest)?.1)
    };
    file().is_some()
}

/// Splits after the leading digits, at least one.
fn digits(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// Splits off the leading fork; `None` if there is no such fork.
fn fork(text: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let Some(name) = text.strip_prefix(b"_") else { return Some((None, text)) };
    let fork = FORKS.into_iter().find(|fork| name.starts_with(fork))?;
    Some((Some(fork), &name[fork.len()..]))
}

/// Parses a segment number.
fn segment(text: &[u8]) -> Option<Option<&[u8]>> {
    let Some(number) = text.strip_prefix(b".") else { return text.is_empty().then_some(None) };
    let (number, rest) = digits(number)?;
    rest.is_empty().then_some(Some(number))
}

/// Whether the digits are a `uint32` other than 0 without leading zeros.
fn is_canonical(digits: &[u8]) -> bool {
    let value = std::str::from_utf8(digits).ok().and_then(|text| text.parse::<u32>().ok());
    digits.first() != Some(&b'0') && value.is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIRECTORY: &str = "PG_15_202209061";

    fn version(major: u16) -> PgVersion {
        PgVersion::new(major).unwrap()
    }

    fn excluded_of<'a>(major: u16, path: &str, names: &[&'a str]) -> Vec<&'a str> {
        let bytes = names.iter().map(|name| name.as_bytes());
        let rules = RelationRules::new(path.as_bytes(), version(major), DIRECTORY, bytes);
        names.iter().copied().filter(|name| rules.exclude(name.as_bytes())).collect()
    }

    #[test]
    fn names_left_out_everywhere() {
        for name in [
            "pgsql_tmp",
            "pgsql_tmp123.0",
            "pgsql_tmp.x",
            "pg_internal.init",
            "pg_internal.init.77",
            "postmaster.pid",
            "postmaster.opts",
            "postgresql.auto.conf.tmp",
            "current_logfiles.tmp",
            "backup_label",
            "tablespace_map",
            "backup_manifest",
        ] {
            assert!(is_excluded(name.as_bytes(), version(14)), "{name}");
        }
        for name in [
            "backup_label.old",
            "tablespace_map.old",
            "postmaster.pid2",
            "postgresql.auto.conf",
            "current_logfiles",
            "PG_VERSION",
            "pg_filenode.map",
            "xpgsql_tmp",
            "",
        ] {
            assert!(!is_excluded(name.as_bytes(), version(14)), "{name}");
        }
    }

    #[test]
    fn directories_of_databases() {
        for path in [
            "base/5",
            "pg_tblspc/16384/PG_15_202209061/5",
            "in/any/place/PG_15_202209061/5",
            "5",
            "b/5",
        ] {
            assert!(is_database(path.as_bytes(), DIRECTORY.as_bytes()), "{path}");
        }
        for path in [
            "",
            "base",
            "base/5x",
            "base/5/6",
            "global",
            "bases/5",
            "pg_tblspc/16384",
            "pg_tblspc/16384/PG_14_202107181/5",
            "pg_tblspc/16384/PG_15_202209061",
        ] {
            assert!(!is_database(path.as_bytes(), DIRECTORY.as_bytes()), "{path}");
        }
    }

    #[test]
    fn unlogged_relations_keep_the_init_fork_alone() {
        let names =
            ["7", "7_fsm", "7_vm", "7.1", "7_fsm.2", "7_init", "7_init.1", "77", "8", "7x", "7_x"];
        for major in 13..=18 {
            let left_out = excluded_of(major, "base/5", &names);
            assert_eq!(left_out, ["7", "7_fsm", "7_vm", "7.1", "7_fsm.2"], "{major}");
            assert!(excluded_of(major, "mine/5", &names).is_empty());
        }
    }

    #[test]
    fn what_changed_in_15() {
        assert!(!is_excluded(b".DS_Store", version(14)));
        assert!(is_excluded(b".DS_Store", version(15)));
    }

    #[test]
    fn what_changed_in_17() {
        let zeros = ["07", "07_init", "8.01", "8_init", "99999999999", "99999999999_init"];
        assert_eq!(excluded_of(16, "base/5", &zeros), ["07", "8.01"]);
        assert!(excluded_of(17, "base/5", &zeros).is_empty());
        let global = ["1260", "1260_init", "t3_16384"];
        assert!(excluded_of(16, "global", &global).is_empty());
        assert_eq!(excluded_of(17, "global", &global), ["1260"]);
        assert_eq!(wal_directories(version(16)).len(), 1);
        assert_eq!(wal_directories(version(17)).len(), 2);
    }

    #[test]
    fn temporary_relations() {
        for name in ["t3_16384", "t0_1_fsm", "t12_34_vm.5", "t3_1.1", "t3_16384_init"] {
            assert_eq!(excluded_of(15, "base/5", &[name]), [name]);
            assert!(excluded_of(15, "base", &[name]).is_empty());
        }
        for name in ["t", "t3", "t3_", "t_3", "t3_x", "t3_1_", "t3_1_main", "t3_1.", "t3_1x", "x"] {
            assert!(excluded_of(15, "base/5", &[name]).is_empty(), "{name}");
        }
    }

    fn file_name(number: u32, fork: usize, segment: u32) -> String {
        let fork = ["", "_fsm", "_vm", "_init"][fork];
        match segment {
            0 => format!("{number}{fork}"),
            _ => format!("{number}{fork}.{segment}"),
        }
    }

    proptest! {
        #[test]
        fn never_panics(name in prop::collection::vec(any::<u8>(), 0..40), major in 13u16..=18) {
            is_excluded(&name, version(major));
            is_emptied(&name);
            is_database(&name, DIRECTORY.as_bytes());
            let names = [&name[..], b"1_init"];
            RelationRules::new(b"base/5", version(major), DIRECTORY, names.into_iter())
                .exclude(&name);
        }

        #[test]
        fn every_file_of_a_relation_is_known(
            number in 1..u32::MAX, fork in 0usize..4, segment in 0..9u32, major in 13u16..=18,
        ) {
            let name = file_name(number, fork, segment);
            let init = format!("{number}_init");
            let other = format!("{}_init", number - 1);
            let (temporary, longer) = (format!("t3_{name}"), format!("{name}x"));
            let left_out = |names: &[&str]| !excluded_of(major, "base/5", names).is_empty();
            prop_assert_eq!(left_out(&[&name, &init]), fork != 3);
            prop_assert!(!left_out(&[&name, &other]));
            prop_assert!(left_out(&[&temporary]));
            prop_assert!(!left_out(&[&longer, &init]));
        }
    }
}
