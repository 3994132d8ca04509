//! Reads the locations of databases from the catalogs and from the server's view of its file system.

use std::{collections::BTreeSet, time::Duration};

use super::{SqlClient, column};
use crate::{
    postgres::{
        Result,
        placement::{PlacedDatabase, Placement, Required},
    },
    types::Oid,
};

/// DROP DATABASE and DROP TABLESPACE remove the files before the deletion of the row is committed. How often, and at
/// which interval, the catalogs are read again before missing files are an error.
const TRIES_MAX: usize = 20;
const PAUSE: Duration = Duration::from_millis(100);

const TABLESPACES: &str = "select oid, spcname::text from pg_catalog.pg_tablespace \
    where spcname not in ('pg_default', 'pg_global')";
/// -2 marks a database whose DROP was interrupted (`DATCONNLIMIT_INVALID_DB` in `pg_database.h`).
const DATABASES: &str = "select oid, datname::text, dattablespace from pg_catalog.pg_database \
    where datconnlimit <> -2";
/// Lists the directories with the server's own functions, without empty directories of a database.
const FILLED: &str = "select t.oid, d.oid from pg_catalog.pg_tablespace t \
    cross join lateral pg_catalog.pg_tablespace_databases(t.oid) d (oid) \
    where t.spcname <> 'pg_global'";

impl SqlClient {
    /// The current locations of databases.
    pub async fn placement(&self) -> Result<Placement> {
        let mut placement = Placement::default();
        for row in self.rows(TABLESPACES, &[]).await? {
            placement.tablespaces.insert(Oid(column(&row, 0)?), column(&row, 1)?);
        }
        for row in self.rows(DATABASES, &[]).await? {
            let database =
                PlacedDatabase { name: column(&row, 1)?, tablespace: Oid(column(&row, 2)?) };
            placement.databases.insert(Oid(column(&row, 0)?), database);
        }
        for row in self.rows(FILLED, &[]).await? {
            placement.filled.insert((Oid(column(&row, 0)?), Oid(column(&row, 1)?)));
        }
        Ok(placement)
    }

    /// Which of the paths that are missing in a copy the catalogs still require. Repeats the query while a DROP may
    /// not be committed yet.
    pub async fn still_required(
        &self,
        version_directory: &str,
        missing: BTreeSet<Required>,
    ) -> Result<BTreeSet<Required>> {
        let mut missing = missing;
        for attempt in 0..TRIES_MAX {
            if missing.is_empty() {
                break;
            }
            if attempt > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            let required = self.placement().await?.required(version_directory)?;
            missing.retain(|one| required.contains(one));
        }
        Ok(missing)
    }
}
