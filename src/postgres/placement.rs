//! Where a server keeps its databases, by its own catalogs: the directories and files that a copy of the
//! cluster must have. A copy that lacks one of them has lost data, whatever the file system says.

use std::collections::{BTreeMap, BTreeSet};

use crate::types::{DataPath, Invalid, Oid, PgVersion};

/// The tablespace whose databases are below `base` (`src/include/catalog/pg_tablespace.dat`).
const PG_DEFAULT: Oid = Oid(1663);

/// The tablespaces and databases of a server at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// The tablespaces other than `pg_default` and `pg_global`, and their names.
    pub tablespaces: BTreeMap<Oid, String>,
    /// The databases; not those whose DROP was interrupted, which may have lost files.
    pub databases: BTreeMap<Oid, PlacedDatabase>,
    /// The tablespaces that hold files of a database, as the server sees them: (tablespace, database).
    pub filled: BTreeSet<(Oid, Oid)>,
}

/// A database as `pg_database` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedDatabase {
    /// Its name.
    pub name: String,
    /// Its default tablespace, which holds its `PG_VERSION`.
    pub tablespace: Oid,
}

/// Something that every copy of the cluster has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Required {
    /// The path from the data directory.
    pub path: DataPath,
    /// What it must be.
    pub kind: RequiredKind,
    /// What it belongs to: "tablespace 'fast'", "database 'app'", "the cluster".
    pub owner: String,
}

/// What a required path must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequiredKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A directory that is not empty.
    FilledDirectory,
}

/// The name of the directory that belongs to a server in a tablespace's location
/// (`TABLESPACE_VERSION_DIRECTORY` in `src/include/common/relpath.h`).
pub fn version_directory(version: PgVersion, catalog_version: u32) -> String {
    format!("PG_{version}_{catalog_version}")
}

impl Placement {
    /// What a copy of the cluster must have. `version_directory` is that of the server.
    pub fn required(&self, version_directory: &str) -> Result<BTreeSet<Required>, Invalid> {
        use RequiredKind::{Directory, File, FilledDirectory};
        let mut all = BTreeSet::new();
        let mut add = |path: String, kind, owner: &str| {
            let path = DataPath::new(path.as_bytes())?;
            all.insert(Required { path, kind, owner: owner.to_owned() });
            Ok::<(), Invalid>(())
        };
        for file in ["PG_VERSION", "global/pg_filenode.map"] {
            add(file.to_owned(), File, "the cluster")?;
        }
        for directory in ["base", "global"] {
            add(directory.to_owned(), Directory, "the cluster")?;
        }
        for (oid, name) in &self.tablespaces {
            let owner = format!("tablespace '{}'", name.escape_debug());
            add(tablespace_directory(*oid, version_directory), Directory, &owner)?;
        }
        for (oid, database) in &self.databases {
            let owner = format!("database '{}'", database.name.escape_debug());
            let directory = tablespace_directory(database.tablespace, version_directory);
            add(format!("{directory}/{oid}/PG_VERSION"), File, &owner)?;
        }
        for (tablespace, oid) in &self.filled {
            let Some(database) = self.databases.get(oid) else { continue };
            let owner = format!("database '{}'", database.name.escape_debug());
            let directory = tablespace_directory(*tablespace, version_directory);
            add(format!("{directory}/{oid}"), FilledDirectory, &owner)?;
        }
        Ok(all)
    }

    /// The databases that have another default tablespace `later`.
    pub fn moved<'a>(&'a self, later: &Self) -> Vec<&'a str> {
        let moved = |(oid, database): (&Oid, &'a PlacedDatabase)| {
            let now = later.databases.get(oid)?;
            (now.tablespace != database.tablespace).then_some(&*database.name)
        };
        self.databases.iter().filter_map(moved).collect()
    }

    /// The databases that are not there `later`.
    pub fn dropped<'a>(&'a self, later: &Self) -> Vec<&'a str> {
        let gone = self.databases.iter().filter(|(oid, _)| !later.databases.contains_key(oid));
        gone.map(|(_, database)| &*database.name).collect()
    }
}

fn tablespace_directory(tablespace: Oid, version_directory: &str) -> String {
    match tablespace {
        PG_DEFAULT => "base".to_owned(),
        other => format!("pg_tblspc/{other}/{version_directory}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_and_what_goes_is_told_apart() {
        let placement = |databases: &[(u32, u32)]| Placement {
            databases: databases
                .iter()
                .map(|&(oid, tablespace)| {
                    let name = oid.to_string();
                    (Oid(oid), PlacedDatabase { name, tablespace: Oid(tablespace) })
                })
                .collect(),
            ..Placement::default()
        };
        let before = placement(&[(5, 1663), (6, 1663), (7, 1663)]);
        let after = placement(&[(5, 1663), (6, 16401), (8, 16401)]);
        assert_eq!(before.moved(&after), ["6"]);
        assert_eq!(before.dropped(&after), ["7"]);
        assert_eq!(after.dropped(&before), ["8"]);
    }

    #[test]
    fn every_tablespace_and_database_has_its_place() {
        let database =
            |name: &str, tablespace| PlacedDatabase { name: name.to_owned(), tablespace };
        let placement = Placement {
            tablespaces: [(Oid(16401), "fa'st".to_owned())].into(),
            databases: [
                (Oid(5), database("postgres", PG_DEFAULT)),
                (Oid(16402), database("app", Oid(16401))),
            ]
            .into(),
            filled: [(Oid(16401), Oid(5)), (Oid(16401), Oid(16402)), (PG_DEFAULT, Oid(99))].into(),
        };
        let required = placement.required("PG_15_202209061").unwrap();
        let shown: Vec<String> = required
            .iter()
            .filter(|r| r.owner != "the cluster")
            .map(|r| format!("{} {:?} {}", r.path, r.kind, r.owner))
            .collect();
        assert_eq!(
            shown,
            [
                "base/5/PG_VERSION File database 'postgres'",
                r"pg_tblspc/16401/PG_15_202209061 Directory tablespace 'fa\'st'",
                "pg_tblspc/16401/PG_15_202209061/16402 FilledDirectory database 'app'",
                "pg_tblspc/16401/PG_15_202209061/16402/PG_VERSION File database 'app'",
                "pg_tblspc/16401/PG_15_202209061/5 FilledDirectory database 'postgres'",
            ]
        );
    }
}
