//! Whether what is behind the links of the data directory is what the server has there. All names of an old copy are
//! right, so they prove nothing: what the server's process sees is looked at, where this process may, and the times of
//! the files are compared with those that the server says.

use std::{collections::BTreeSet, sync::Arc};

use super::blocking;
use crate::{
    backup::Error,
    postgres::{
        self, BackupSession, DataDirectory, FileTimes, Required, Unseen, followed, is_of_postgres,
    },
    types::{DataPath, Failure},
};

/// How often times are compared that differ: a clock that is set back differs once.
const TRIES_MAX: usize = 3;

/// What is behind `links` among PostgreSQL's own directories, and is something else than what the server has there; `pid`
/// is the server's process. Of other links, such as that of logs, a warning says it.
pub(super) async fn of_others(
    session: &BackupSession,
    directory: &Arc<DataDirectory>,
    pid: i32,
    links: Vec<DataPath>,
    required: &BTreeSet<Required>,
) -> Result<Vec<Unseen>, Error> {
    if links.is_empty() {
        return Ok(Vec::new());
    }
    let (by_process, paths) = {
        let (directory, required) = (Arc::clone(directory), required.clone());
        let look =
            move || Ok((directory.links_of_others(pid, &links), followed(&links, &required)));
        blocking(look).await?
    };
    let is_known = by_process.is_some();
    let mut others = by_process.unwrap_or_default();
    if others.is_empty() {
        others = match by_times(session, directory, paths).await {
            Err(Error::Postgres(error @ postgres::Error::PermissionDenied { .. })) => {
                if !is_known {
                    say_that_nothing_is_known(&error);
                }
                Vec::new()
            }
            found => found?,
        };
    }
    let (own, rest): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|other| is_of_postgres(&other.required.path));
    for other in rest {
        tracing::warn!("the backup holds what is here: {other}");
    }
    Ok(own)
}

fn say_that_nothing_is_known(error: &postgres::Error) {
    tracing::warn!(
        "unable to check that tablespaces and links are the same here as on the server: {error}\n\
         HINT: {}",
        error.hint().unwrap_or_default()
    );
}

/// A file that is the same has the server's times, or was changed between two looks at it.
async fn by_times(
    session: &BackupSession,
    directory: &Arc<DataDirectory>,
    paths: Vec<DataPath>,
) -> Result<Vec<Unseen>, Error> {
    let (mut paths, mut others) = (paths, Vec::new());
    for _ in 0..TRIES_MAX {
        let before = times(directory, paths.clone()).await?;
        let there = session.sql().file_times(&paths).await?;
        let after = times(directory, paths.clone()).await?;
        let differs = |at: usize| {
            let there = *there.get(&paths[at])?;
            let (before, after) = before[at].zip(after[at])?;
            (!there.are_between(before, after)).then_some((paths[at].clone(), there))
        };
        others = (0..paths.len()).filter_map(differs).collect();
        if others.is_empty() {
            break;
        }
        paths = others.iter().map(|(path, _)| path.clone()).collect();
    }
    let unlike =
        |(path, there): &(DataPath, FileTimes)| directory.changed_at_another_time(path, *there);
    Ok(others.iter().map(unlike).collect())
}

async fn times(
    directory: &Arc<DataDirectory>,
    paths: Vec<DataPath>,
) -> Result<Vec<Option<FileTimes>>, Error> {
    let directory = Arc::clone(directory);
    blocking(move || Ok(paths.iter().map(|path| directory.times(path)).collect())).await
}
