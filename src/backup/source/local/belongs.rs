//! Whether a directory on this host is the data directory that the connected server runs from.

use std::{fmt, path::Path};

use crate::{
    backup::Error,
    postgres::{BackupSession, ControlFile, DataDirectory, PostmasterPid},
};

/// How often server and directory are compared: a checkpoint can complete in between.
const TRIES_MAX: usize = 3;
/// A postmaster writes the time it began; it says that it started when it is ready to, which takes the
/// time of getting its memory.
const STARTING_S_MAX: i64 = 600;
/// Both times are the server's clock, one in whole seconds.
const ROUNDING_S: i64 = 2;

/// Why a directory cannot be read in place of a stream of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit(pub String);

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What was found at a path.
pub(super) type Found = Result<(DataDirectory, ControlFile), Unfit>;

/// Opens the directory at `path`, if it is the server's and the role may run a backup.
pub(super) async fn examine(session: &BackupSession, path: &Path) -> Result<Found, Error> {
    let shown = path.display();
    let sql = session.sql();
    let server = sql.server_facts().await?;
    let (directory, pid) = match open(path) {
        Ok(opened) => opened,
        Err(reason) => return Ok(Err(Unfit(reason))),
    };
    let control = match read_control(&directory) {
        Ok(control) => control,
        Err(reason) => return Ok(Err(Unfit(reason))),
    };
    if control.system_id != server.system_id {
        return Ok(Err(Unfit(format!("'{shown}' is of cluster {}", control.system_id))));
    }
    let started = sql.postmaster_start_us().await?.div_euclid(1_000_000);
    let after = started - pid.started;
    if !(-ROUNDING_S..=STARTING_S_MAX).contains(&after) {
        return Ok(Err(Unfit(format!("another server was started in '{shown}'"))));
    }
    if !same_checkpoint(session, &directory).await? {
        return Ok(Err(Unfit(format!("the checkpoint in '{shown}' is not the server's"))));
    }
    if !sql.may_back_up(server.version).await? {
        let reason = "the role may not run pg_backup_start and pg_backup_stop";
        return Ok(Err(Unfit(reason.to_owned())));
    }
    Ok(Ok((directory, control)))
}

/// What stands in the way is a reason, whatever it is: the server can send the files.
fn open(path: &Path) -> Result<(DataDirectory, PostmasterPid), String> {
    let directory = DataDirectory::open(path).map_err(|error| error.to_string())?;
    let file = path.join(PostmasterPid::PATH);
    let text = std::fs::read(&file)
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
