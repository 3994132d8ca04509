//! Restoring some databases of a cluster: which ones are left out. Their files come back with their size
//! and without content, so that WAL can be replayed over them; afterwards they can only be dropped.

use std::collections::BTreeSet;

use crate::{
    repo::{file_list::FileEntry, manifest::Manifest},
    restore::Error,
    types::{DataPath, ErrorCode, Oid},
};

/// Objects below this number are made by initdb (`transam.h`, FirstNormalObjectId).
const FIRST_USER_OID: u32 = 16_384;
/// The databases of every cluster; users may have made them again, under other numbers.
const SYSTEM: [&str; 3] = ["template0", "template1", "postgres"];
/// A database's version file stays: PostgreSQL looks for it when it drops the database.
const VERSION_FILE: &[u8] = b"PG_VERSION";

/// Which databases are asked for, by name or oid. Neither: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatabaseChoice {
    /// Only these, and the system's.
    pub include: Vec<String>,
    /// All but these.
    pub exclude: Vec<String>,
}

impl DatabaseChoice {
    /// The databases whose files are to be left without content. With both lists given, `exclude` can
    /// only name system databases beside those that are not included anyway.
    pub fn left_out(
        &self,
        manifest: &Manifest,
        files: &[FileEntry],
    ) -> Result<BTreeSet<Oid>, Error> {
        if *self == Self::default() {
            return Ok(BTreeSet::new());
        }
        let found: BTreeSet<Oid> =
            files.iter().filter_map(|file| version_file_of(&file.path)).collect();
        let number = |name: &String, verb| number_of(name, verb, manifest, &found);
        let exclude: BTreeSet<Oid> =
            self.exclude.iter().map(|name| number(name, "exclude")).collect::<Result<_, _>>()?;
        if self.include.is_empty() {
            return Ok(exclude);
        }
        let mut left_out: BTreeSet<Oid> = found.clone();
        for name in &self.include {
            let oid = number(name, "include")?;
            if is_system(oid, manifest) {
                let what = "system databases (template0, postgres, etc.) are included by default";
                return Err(Error::refused(
                    ErrorCode::DbInvalid,
                    what,
                    "remove it from db-include",
                ));
            }
            if exclude.contains(&oid) {
                let what = format!("database to include '{name}' is in the exclude list");
                return Err(Error::refused(
                    ErrorCode::DbInvalid,
                    what,
                    "remove it from db-include or db-exclude",
                ));
            }
            left_out.remove(&oid);
        }
        left_out.retain(|oid| exclude.contains(oid) || !is_system(*oid, manifest));
        Ok(left_out)
    }
}

/// The database of that oid or name; an oid works also where the backup does not know names.
fn number_of(
    name: &str,
    verb: &str,
    manifest: &Manifest,
    found: &BTreeSet<Oid>,
) -> Result<Oid, Error> {
    let by_number = name.parse().ok().map(Oid);
    let by_name = || manifest.databases.iter().find(|db| db.name == name).map(|db| db.oid);
    let known = by_number.filter(|oid| found.contains(oid)).or_else(by_name);
    known.filter(|oid| found.contains(oid)).ok_or_else(|| {
        let what = format!("database to {verb} '{name}' does not exist");
        let hint = match manifest.databases.is_empty() {
            true => {
                "the backup does not contain database names: use the OID, which is the name of its \
                 directory in base"
            }
            false => "info --set shows the databases of a backup by name and OID",
        };
        Error::refused(ErrorCode::DbMissing, what, hint)
    })
}

fn is_system(oid: Oid, manifest: &Manifest) -> bool {
    let named = |db: &crate::repo::manifest::DatabaseRecord| {
        db.oid == oid && SYSTEM.contains(&db.name.as_str())
    };
    oid.0 < FIRST_USER_OID || manifest.databases.iter().any(named)
}

/// Whether a file is one that a database left out gets without content.
pub(super) fn is_emptied(path: &DataPath, left_out: &BTreeSet<Oid>) -> bool {
    path.file_name() != VERSION_FILE && database_of(path).is_some_and(|oid| left_out.contains(&oid))
}

fn version_file_of(path: &DataPath) -> Option<Oid> {
    database_of(path).filter(|_| path.file_name() == VERSION_FILE)
}

/// The database in whose directory a file lies: `base/<oid>/…`, or in a tablespace
/// `pg_tblspc/<tablespace>/PG_<version>/<oid>/…`.
fn database_of(path: &DataPath) -> Option<Oid> {
    let parts: Vec<&[u8]> = path.as_bytes().split(|byte| *byte == b'/').collect();
    let directory = match parts[..] {
        [b"base", oid, _, ..] => oid,
        [b"pg_tblspc", _, _, oid, _, ..] => oid,
        _ => return None,
    };
    std::str::from_utf8(directory).ok()?.parse().ok().map(Oid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        repo::{file_list::EntryKind, manifest::DatabaseRecord},
        restore::tests::repository::{manifest, path},
        types::{Failure, Lsn, TimeLine},
    };

    fn files() -> Vec<FileEntry> {
        let file = |name: &str| FileEntry {
            path: path(name),
            kind: EntryKind::File { size: 9, map: None, base: None },
            mode: 0o600,
            mtime: 0,
            uid: 0,
            gid: 0,
            link: None,
        };
        [
            "PG_VERSION",
            "base/1/PG_VERSION",
            "base/5/PG_VERSION",
            "base/16400/PG_VERSION",
            "base/16400/2619",
            "base/16500/PG_VERSION",
            "pg_tblspc/17000/PG_15_202209061/16600/PG_VERSION",
            "global/1262",
        ]
        .map(file)
        .to_vec()
    }

    fn left_out(include: &[&str], exclude: &[&str]) -> String {
        let mut backup = manifest("20261121-092452F", TimeLine(1), Lsn(1), Lsn(2), 0);
        let database =
            |(oid, name): (u32, &str)| DatabaseRecord { oid: Oid(oid), name: name.to_owned() };
        backup.databases =
            [(1, "template1"), (16_500, "postgres"), (16_400, "app"), (16_600, "old")]
                .map(database)
                .to_vec();
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let choice = DatabaseChoice { include: owned(include), exclude: owned(exclude) };
        match choice.left_out(&backup, &files()) {
            Ok(oids) => format!("{:?}", oids.iter().map(|oid| oid.0).collect::<Vec<_>>()),
            Err(error) => format!("{:?}: {error}", error.code()),
        }
    }

    #[test]
    fn what_is_not_included_is_left_out() {
        assert_eq!(left_out(&[], &[]), "[]");
        assert_eq!(left_out(&["app"], &[]), "[16600]");
        assert_eq!(left_out(&["16600"], &[]), "[16400]");
        assert_eq!(left_out(&["app", "old"], &[]), "[]");
    }

    #[test]
    fn what_is_excluded_is_left_out() {
        assert_eq!(left_out(&[], &["app"]), "[16400]");
        assert_eq!(left_out(&[], &["16600", "app"]), "[16400, 16600]");
        assert_eq!(left_out(&[], &["postgres"]), "[16500]");
        assert_eq!(left_out(&["app"], &["postgres"]), "[16500, 16600]");
    }

    #[test]
    fn what_cannot_be_chosen_is_refused() {
        insta::assert_snapshot!(left_out(&["none"], &[]), @"DbMissing: database to include 'none' does not exist");
        insta::assert_snapshot!(left_out(&[], &["99999"]), @"DbMissing: database to exclude '99999' does not exist");
        insta::assert_snapshot!(left_out(&["template1"], &[]), @"DbInvalid: system databases (template0, postgres, etc.) are included by default");
        insta::assert_snapshot!(left_out(&["postgres"], &[]), @"DbInvalid: system databases (template0, postgres, etc.) are included by default");
        insta::assert_snapshot!(left_out(&["app"], &["app"]), @"DbInvalid: database to include 'app' is in the exclude list");
    }

    #[test]
    fn all_but_the_version_file_is_emptied() {
        let out = BTreeSet::from([Oid(16_400)]);
        for (name, expected) in [
            ("base/16400/2619", true),
            ("base/16400/pg_filenode.map", true),
            ("base/16400/PG_VERSION", false),
            ("base/1640/2619", false),
            ("base/16400", false),
            ("pg_tblspc/17000/PG_15_202209061/16400/2619_fsm", true),
            ("pg_tblspc/16400/PG_15_202209061/5/2619", false),
            ("global/16400", false),
        ] {
            assert_eq!(is_emptied(&path(name), &out), expected, "{name}");
        }
    }
}
