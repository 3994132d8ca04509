//! Whether a backup holds every tablespace and database that the server's catalogs have. Neither a server that
//! sends its files nor a scan of them says that something was not there.

use std::collections::BTreeSet;

use super::cluster::Cluster;
use crate::{
    backup::Landmarks,
    command::{Error, Result},
    postgres::{Placement, Required},
    types::ErrorCode,
};

/// How many are named.
const NAMED_MAX: usize = 3;

/// Compares a backup that was taken with the catalogs, as they were `before` it began and are now.
pub(super) async fn check(
    cluster: &Cluster,
    before: &Placement,
    landmarks: &Landmarks,
) -> Result<()> {
    let name = &cluster.version_directory;
    let missing = landmarks.missing(&before.required(name)?);
    let still = cluster.sql.still_required(name, missing).await?;
    if !still.is_empty() {
        return Err(incomplete(&still));
    }
    check_changes(before, &cluster.sql.placement().await?)
}

/// WAL says of a database that is moved, or copied as files, only from where to where: recovery repeats the
/// copy with the files of the backup, from which those that went away meanwhile are missing (`movedb` and
/// `dbase_redo` in `src/backend/commands/dbcommands.c`).
fn check_changes(before: &Placement, now: &Placement) -> Result<()> {
    let (created, dropped) = (now.dropped(before), before.dropped(now));
    if !created.is_empty() && !dropped.is_empty() {
        tracing::warn!(
            "while the backup was taken, database {} was created and {} dropped: if the one was copied from \
             the other as files, recovery from this backup gives back only part of it\n\
             HINT: then take another backup; up to version 14, and with STRATEGY file_copy, CREATE DATABASE \
             copies files",
            shown(&created),
            shown(&dropped)
        );
    }
    let moved = before.moved(now);
    match moved.is_empty() {
        true => Ok(()),
        false => Err(Error::Check {
            what: format!(
                "database {} was moved to another tablespace while the backup was taken: recovery from this \
                 backup would give back only part of it",
                shown(&moved)
            ),
            code: ErrorCode::FileMissing,
            hint: "take the backup again; nothing of this one is kept".to_owned(),
        }),
    }
}

fn shown(names: &[&str]) -> String {
    let quoted = names.iter().take(NAMED_MAX).map(|name| format!("'{}'", name.escape_debug()));
    quoted.collect::<Vec<_>>().join(", ")
}

fn incomplete(missing: &BTreeSet<Required>) -> Error {
    let named =
        missing.iter().take(NAMED_MAX).map(|one| format!("'{}' of {}", one.path, one.owner));
    let more = match missing.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    Error::Check {
        what: format!(
            "the files that came are not the whole cluster: there is no {}{more}",
            named.collect::<Vec<_>>().join(", no ")
        ),
        code: ErrorCode::FileMissing,
        hint: "does the server see the location of its tablespaces: is the disk mounted, and is nothing in \
               the data directory a symbolic link? Nothing of this backup is kept"
            .to_owned(),
    }
}
