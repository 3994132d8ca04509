//! Which paths of a data directory PostgreSQL itself needs, and which belong to its administrator.

use crate::types::DataPath;

/// The directories that initdb makes (`subdirs` in `src/bin/initdb/initdb.c`).
const DIRECTORIES: [&str; 17] = [
    "base",
    "global",
    "pg_commit_ts",
    "pg_dynshmem",
    "pg_logical",
    "pg_multixact",
    "pg_notify",
    "pg_replslot",
    "pg_serial",
    "pg_snapshots",
    "pg_stat",
    "pg_stat_tmp",
    "pg_subtrans",
    "pg_tblspc",
    "pg_twophase",
    "pg_wal",
    "pg_xact",
];

/// Whether the path is one of PostgreSQL's own directories, or in one.
pub fn is_of_postgres(path: &DataPath) -> bool {
    DIRECTORIES.iter().any(|directory| path.is_within(directory))
}
