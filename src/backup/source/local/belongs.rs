//! Whether a directory on this host is the data directory that the connected server runs from.

use std::{fmt, path::Path, sync::Arc};

use super::{blocking, catalogs, sameness};
use crate::{
    backup::Error,
    host::read_small_file,
    postgres::{
        BackupSession, ControlFile, DataDirectory, PostmasterPid, SqlClient, Unseen,
        version_directory,
    },
    types::PgVersion,
};

/// How often server and directory are compared: a checkpoint can complete in between.
const TRIES_MAX: usize = 3;

/// Why a directory cannot be read in place of a stream of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is not the server's data directory, or cannot be read.
    Directory(String),
    /// The server has files that this process cannot see.
    Unseen(Vec<Unseen>),
    /// The role may not start and stop a backup.
    Rights {
        /// The functions that it may not run, and where.
        reason: String,
        /// What a superuser can do about it.
        grant: String,
    },
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(reason) | Self::Rights { reason, .. } => f.write_str(reason),
            Self::Unseen(unseen) => {
                write!(f, "the server has files that cannot be seen here: {}", Unseen::list(unseen))
            }
        }
    }
}

/// What was found at a path.
pub(super) type Found = Result<(Arc<DataDirectory>, ControlFile), Unfit>;

/// Opens the directory at `path`, if it is the server's and the role may run a backup.
pub(super) async fn examine(session: &BackupSession, path: &Path) -> Result<Found, Error> {
    let shown = path.display();
    let sql = session.sql();
    let server = sql.server_facts().await?;
    let (directory, pid) = match open(path) {
        Ok(opened) => opened,
        Err(reason) => return Ok(Err(Unfit::Directory(reason))),
    };
    let control = match read_control(&directory) {
        Ok(control) => control,
        Err(reason) => return Ok(Err(Unfit::Directory(reason))),
    };
    if control.system_id != server.system_id {
        return Ok(Err(Unfit::Directory(format!("'{shown}' is of cluster {}", control.system_id))));
    }
    let started = sql.postmaster_start_us().await?.div_euclid(1_000_000);
    if !pid.started_with(started) {
        return Ok(Err(Unfit::Directory(format!("another server was started in '{shown}'"))));
    }
    if !same_checkpoint(session, &directory).await? {
        return Ok(Err(Unfit::Directory(format!(
            "the checkpoint in '{shown}' is not the server's"
        ))));
    }
    if !sql.may_back_up(server.version).await? {
        return Ok(Err(rights(session, server.version)));
    }
    let directory = Arc::new(directory);
    match unseen(session, &directory, &control, pid.pid).await {
        Ok(unseen) if unseen.is_empty() => Ok(Ok((directory, control))),
        Ok(unseen) => Ok(Err(Unfit::Unseen(unseen))),
        Err(Error::DataDirectory(error)) if !error.is_of_link() => {
            Ok(Err(Unfit::Directory(error.to_string())))
        }
        Err(error) => Err(error),
    }
}

/// What the server has and this process does not see, or sees another of. Links that no backup can follow are an error:
/// the server does not send what is behind them either.
async fn unseen(
    session: &BackupSession,
    directory: &Arc<DataDirectory>,
    control: &ControlFile,
    pid: i32,
) -> Result<Vec<Unseen>, Error> {
    let name = version_directory(control.version, control.catalog_version);
    let required = session.sql().placement().await?.required(&name)?;
    let links = {
        let (directory, required) = (Arc::clone(directory), required.clone());
        let version = control.version;
        blocking(move || {
            let links = directory.links(version)?;
            directory.check_links_inside(&links, &required)?;
            Ok(links)
        })
    };
    let links = links.await?;
    let unseen = catalogs::still_unseen(session, directory, &name, required.clone()).await?;
    if !unseen.is_empty() {
        return Ok(unseen);
    }
    let links = {
        let directory = Arc::clone(directory);
        blocking(move || {
            directory.check_links_visible(&links)?;
            Ok(links)
        })
    };
    let links = links.await?;
    sameness::of_others(session, directory, pid, links, &required).await
}

fn rights(session: &BackupSession, version: PgVersion) -> Unfit {
    let [start, stop] = SqlClient::backup_functions(version);
    let grantee = session.sql().grantee();
    Unfit::Rights {
        reason: format!("{grantee} may not run {start} and {stop}"),
        grant: grantee.grant_execute(&[start, stop]),
    }
}

/// What stands in the way is a reason, whatever it is: the server can send the files.
fn open(path: &Path) -> Result<(DataDirectory, PostmasterPid), String> {
    let directory = DataDirectory::open(path).map_err(|error| error.to_string())?;
    let file = path.join(PostmasterPid::PATH);
    let text = read_small_file(&file, PostmasterPid::BYTES_MAX)
        .map_err(|error| format!("unable to read '{}': {error}", file.display()))?;
    let pid = PostmasterPid::parse(&text).map_err(|error| error.to_string())?;
    Ok((directory, pid))
}

fn read_control(directory: &DataDirectory) -> Result<ControlFile, String> {
    let bytes = directory.control_file().map_err(|error| error.to_string())?;
    ControlFile::parse(&bytes).map_err(|error| error.to_string())
}

/// A copy of the directory, or that of a standby, has another last checkpoint, or soon will.
async fn same_checkpoint(
    session: &BackupSession,
    directory: &DataDirectory,
) -> Result<bool, Error> {
    for _ in 0..TRIES_MAX {
        let server = session.sql().control_checkpoint().await?;
        let control = ControlFile::parse(&directory.control_file()?)?;
        if (control.checkpoint, control.redo) == (server.checkpoint_lsn, server.redo_lsn) {
            return Ok(true);
        }
    }
    Ok(false)
}
