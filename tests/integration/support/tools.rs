//! PostgreSQL's own checks of a backup and of a server.

use std::path::Path;

use super::{
    cluster::Cluster,
    host::as_server_user,
    outcome::{must_succeed, run},
    version::Version,
};

/// Whose tool reads what: 17 reads the manifests of every earlier version; 18 changed pg_control.
fn tools_of(version: Version) -> Version {
    if version >= Version::new(18) { version } else { Version::new(17) }
}

/// Compares a restored directory with PostgreSQL's backup_manifest: every file there, no file more,
/// every size and checksum as the server sent it. WAL is not looked at (`-n`): it is in the archive.
#[track_caller]
pub(crate) fn pg_verifybackup(version: Version, data_dir: &Path) {
    let tool = tools_of(version).program("pg_verifybackup");
    run(as_server_user(tool).arg("-n").arg(data_dir)).ok();
}

/// Checks every heap and every B-tree index of every database with amcheck. `pg_amcheck` cannot speak
/// to 13, whose amcheck has no heap check: there the index check runs, with a look at every heap row.
#[track_caller]
pub(crate) fn pg_amcheck(cluster: &Cluster) {
    if cluster.version < Version::new(14) {
        cluster.sql(INDEX_CHECK_13);
        return;
    }
    let mut command = as_server_user(Version::new(18).program("pg_amcheck"));
    command.arg("--host").arg(&cluster.socket_dir);
    command.args(["--port", &cluster.port().to_string(), "--username=postgres"]);
    command.args(["--database=postgres", "--heapallindexed"]);
    must_succeed(&mut command);
}

const INDEX_CHECK_13: &str = "select count(bt_index_check(c.oid, true)) from pg_class c \
    join pg_am a on a.oid = c.relam \
    where c.relkind = 'i' and a.amname = 'btree' and c.relpersistence <> 't'";
