//! Whether a backup holds every tablespace and database that the server's catalogs have. Neither a server that
//! sends its files nor a scan of them says that something was not there.

use std::collections::BTreeSet;

use super::{Error, Result, cluster::ConnectedCluster, landmarks::Landmarks};
use crate::postgres::{Placement, Required};

/// How many are named.
const NAMED_MAX: usize = 3;

/// Compares a backup that was taken with the catalogs, as they were `before` it began and are now.
pub(super) async fn check(
    cluster: &dyn ConnectedCluster,
    before: &Placement,
    landmarks: &Landmarks,
) -> Result<()> {
    let version_directory = &cluster.details().version_directory;
    let missing = landmarks.missing(&before.required(version_directory)?);
    // What was dropped meanwhile is missing rightly: WAL has the drop.
    let missing = cluster.still_required(missing).await?;
    if !missing.is_empty() {
        return Err(Error::Incomplete { missing: describe(&missing) });
    }
    check_changes(before, &cluster.placement().await?)
}

/// WAL says of a database that is moved, or copied as files, only from where to where: recovery repeats the
/// copy with the files of the backup, from which those that went away meanwhile are missing (`movedb` and
/// `dbase_redo` in `src/backend/commands/dbcommands.c`).
fn check_changes(before: &Placement, now: &Placement) -> Result<()> {
    let (created, dropped) = (now.dropped(before), before.dropped(now));
    if !created.is_empty() && !dropped.is_empty() {
        tracing::warn!(
            "while the backup was taken, database {} was created and {} dropped: if one was copied \
             from the other at file level, recovery from this backup restores it only in part\n\
             HINT: take another backup; up to version 14, and with STRATEGY file_copy, CREATE \
             DATABASE copies files",
            shown(&created),
            shown(&dropped)
        );
    }
    let moved = before.moved(now);
    match moved.is_empty() {
        true => Ok(()),
        false => Err(Error::DatabaseMoved { databases: shown(&moved) }),
    }
}

fn shown(names: &[&str]) -> String {
    let quoted = names.iter().take(NAMED_MAX).map(|name| format!("'{}'", name.escape_debug()));
    quoted.collect::<Vec<_>>().join(", ")
}

/// The first of what is missing: `'base/5' of database 'app', no 'base/6' of …`.
fn describe(missing: &BTreeSet<Required>) -> String {
    let named =
        missing.iter().take(NAMED_MAX).map(|one| format!("'{}' of {}", one.path, one.owner));
    let named = named.collect::<Vec<_>>().join(", no ");
    match missing.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named}, and {more} more"),
    }
}
