//! Distinguishes PostgreSQL's own paths in a data directory from those of administrators.

use crate::types::DataPath;

/// Directories created by initdb (`subdirs` in `src/bin/initdb/initdb.c`).
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

/// Whether the path is one of PostgreSQL's own directories or below one.
pub fn is_of_postgres(path: &DataPath) -> bool {
    DIRECTORIES.iter().any(|directory| path.is_within(directory))
}
