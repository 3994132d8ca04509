//! The directories and files that a copy of the cluster must have, according to the server's catalogs. A copy that lacks
//! one of them has lost data, whatever the file system shows.

use std::collections::{BTreeMap, BTreeSet};

use crate::types::{DataPath, Invalid, Oid, PgVersion};

/// The tablespace whose databases are below `base` (`src/include/catalog/pg_tablespace.dat`).
const PG_DEFAULT: Oid = Oid(1663);

/// The tablespaces and databases of a server at one moment, from `pg_tablespace` and `pg_database`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Names by OID, without `pg_default` and `pg_global`.
    pub tablespaces: BTreeMap<Oid, String>,
    /// Without those whose DROP was interrupted, because they may have lost files.
    pub databases: BTreeMap<Oid, PlacedDatabase>,
    /// (tablespace, database): tablespaces with files of a database.
    pub filled: BTreeSet<(Oid, Oid)>,
}

/// A row of `pg_database`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedDatabase {
    pub name: String,
    /// The default tablespace, which has its `PG_VERSION`.
    pub tablespace: Oid,
}

/// A path that every copy of the cluster must have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Required {
    /// Relative to the data directory.
    pub path: DataPath,
    pub kind: RequiredKind,
    /// For messages: "tablespace 'fast'", "database 'app'", "the cluster".
    pub owner: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequiredKind {
    /// A regular file.
    File,
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
    /// `version_directory`: see [`version_directory`].
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

    /// The databases whose default tablespace is a different one in `later`.
    pub fn moved<'a>(&'a self, later: &Self) -> Vec<&'a str> {
        let moved = |(oid, database): (&Oid, &'a PlacedDatabase)| {
            let now = later.databases.get(oid)?;
            (now.tablespace != database.tablespace).then_some(&*database.name)
        };
        self.databases.iter().filter_map(moved).collect()
    }

    /// The databases that `later` does not have.
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
