//! Parses the names of relation files (`parse_filename_for_nontemp_relation` in `src/backend/storage/file/reinit.c`,
//! `GetRelationPath` in `src/common/relpath.c`).

use crate::types::{DataPath, Oid};

/// OID of `pg_default`, whose files are below `base`.
const DEFAULT_TABLESPACE: Oid = Oid(1663);
/// OID of `pg_global`, whose files are in `global`.
const GLOBAL_TABLESPACE: Oid = Oid(1664);
/// Database OID of shared relations.
const NO_DATABASE: Oid = Oid(0);

/// A relation fork (`ForkNumber`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Fork {
    Main,
    /// The free space map. Not all changes of it are WAL-logged.
    FreeSpaceMap,
    VisibilityMap,
    /// The initial contents of an unlogged relation.
    Init,
}

impl Fork {
    pub(crate) fn of_number(number: i16) -> Option<Self> {
        [Self::Main, Self::FreeSpaceMap, Self::VisibilityMap, Self::Init]
            .get(usize::try_from(number).ok()?)
            .copied()
    }

    fn of_suffix(suffix: &[u8]) -> Option<Self> {
        match suffix {
            b"fsm" => Some(Self::FreeSpaceMap),
            b"vm" => Some(Self::VisibilityMap),
            b"init" => Some(Self::Init),
            _ => None,
        }
    }
}

/// Identifies a fork of a relation, as in WAL records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RelationFork {
    pub(crate) tablespace: Oid,
    /// 0 for a shared relation.
    pub(crate) database: Oid,
    /// `relfilenode`.
    pub(crate) relation: Oid,
    pub(crate) fork: Fork,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RelationFile {
    pub(crate) of: RelationFork,
    /// Number of the segment file (1 GiB) in the fork, from 0.
    pub(crate) segment: u32,
}

impl RelationFile {
    /// Parses a path relative to the data directory; `None` for any other file, and for temporary relations.
    pub(crate) fn parse(path: &DataPath) -> Option<Self> {
        let parts: Vec<&[u8]> = path.as_bytes().split(|&b| b == b'/').collect();
        let (tablespace, database, file) = match parts[..] {
            [b"global", file] => (GLOBAL_TABLESPACE, NO_DATABASE, file),
            [b"base", database, file] => (DEFAULT_TABLESPACE, Oid(number(database)?), file),
            [b"pg_tblspc", oid, version, database, file] if version.starts_with(b"PG_") => {
                (Oid(number(oid)?), Oid(number(database)?), file)
            }
            _ => return None,
        };
        let (relation, fork, segment) = parse_name(file)?;
        Some(Self { of: RelationFork { tablespace, database, relation, fork }, segment })
    }
}

/// A name `<number>[_<fork>][.<segment>]`.
fn parse_name(file: &[u8]) -> Option<(Oid, Fork, u32)> {
    let (stem, segment) = match split_at_byte(file, b'.') {
        Some((stem, segment)) => (stem, number(segment)?),
        None => (file, 0),
    };
    let (relation, fork) = match split_at_byte(stem, b'_') {
        Some((relation, suffix)) => (relation, Fork::of_suffix(suffix)?),
        None => (stem, Fork::Main),
    };
    Some((Oid(number(relation)?), fork, segment))
}

fn split_at_byte(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|&b| b == byte)?;
    Some((&text[..at], &text[at + 1..]))
}

/// A positive number without leading zeros, as PostgreSQL writes it.
fn number(text: &[u8]) -> Option<u32> {
    if !text.first().is_some_and(|b| (b'1'..=b'9').contains(b)) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(path: &str) -> Option<(u32, u32, u32, Fork, u32)> {
        let file = RelationFile::parse(&DataPath::new(path.as_bytes()).unwrap())?;
        let of = file.of;
        Some((of.tablespace.0, of.database.0, of.relation.0, of.fork, file.segment))
    }

    #[test]
    fn every_kind_of_place_and_fork() {
        use Fork::{FreeSpaceMap, Init, Main, VisibilityMap};
        for (path, expected) in [
            ("base/5/16384", (1663, 5, 16384, Main, 0)),
            ("base/5/16384.12", (1663, 5, 16384, Main, 12)),
            ("base/5/16384_vm", (1663, 5, 16384, VisibilityMap, 0)),
            ("base/5/16384_fsm.1", (1663, 5, 16384, FreeSpaceMap, 1)),
            ("base/5/4294967295_init", (1663, 5, u32::MAX, Init, 0)),
            ("global/1262", (1664, 0, 1262, Main, 0)),
            ("pg_tblspc/16401/PG_15_202209061/5/16402.3", (16401, 5, 16402, Main, 3)),
        ] {
            assert_eq!(parse(path), Some(expected), "{path}");
        }
    }

    #[test]
    fn a_file_has_one_name() {
        for path in [
            "base/5/016384",
            "base/05/16384",
            "base/5/16384.0",
            "base/5/16384.01",
            "base/5/16384_main",
            "base/5/4294967296",
            "base/5/+5",
            "base/0/16384",
            "base/5/0",
            "base/5/t3_16384",
            "base/5/16384_vm_fsm",
            "base/5/16384.1.1",
            "pg_tblspc/16401/5/16402",
            "pg_tblspc/16401/PG_15_202209061/pgsql_tmp/16402",
        ] {
            assert_eq!(parse(path), None, "{path}");
        }
    }

    #[test]
    fn forks_have_the_numbers_of_postgresql() {
        let forks = [Fork::Main, Fork::FreeSpaceMap, Fork::VisibilityMap, Fork::Init];
        for (number, fork) in forks.into_iter().enumerate() {
            assert_eq!(Fork::of_number(number as i16), Some(fork));
        }
        assert_eq!((Fork::of_number(-1), Fork::of_number(4)), (None, None));
    }

    proptest! {
        #[test]
        fn never_panics(name in proptest::collection::vec(any::<u8>(), 1..60)) {
            if let Ok(path) = DataPath::new(&name) {
                RelationFile::parse(&path);
            }
        }
    }
}
