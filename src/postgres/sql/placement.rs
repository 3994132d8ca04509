//! Where the server keeps its databases, asked of its catalogs and of its own eyes on its file system.

use std::{collections::BTreeSet, time::Duration};

use super::{SqlClient, column};
use crate::{
    postgres::{
        Result,
        placement::{PlacedDatabase, Placement, Required},
    },
    types::Oid,
};

/// While a database or tablespace is dropped, its files are gone before its row is. How often, and how long
/// apart, the catalogs are asked again before a row counts.
const TRIES_MAX: usize = 20;
const PAUSE: Duration = Duration::from_millis(100);

const TABLESPACES: &str = "select oid, spcname::text from pg_catalog.pg_tablespace \
    where spcname not in ('pg_default', 'pg_global')";
/// -2 marks a database whose DROP was interrupted (`DATCONNLIMIT_INVALID_DB` in `pg_database.h`).
const DATABASES: &str = "select oid, datname::text, dattablespace from pg_catalog.pg_database \
    where datconnlimit <> -2";
/// The server looks into its own directories, and leaves out those of a database that are empty.
const FILLED: &str = "select t.oid, d.oid from pg_catalog.pg_tablespace t \
    cross join lateral pg_catalog.pg_tablespace_databases(t.oid) d (oid) \
    where t.spcname <> 'pg_global'";

impl SqlClient {
    /// Where the server keeps its databases now.
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

    /// Of what is missing in a copy, what the server still has, for as long as a DROP can take to commit.
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
