//! The PostgreSQL server that called `archive-push` or `archive-get`: its data directory, the cluster it belongs to,
//! whether it is a standby.
//!
//! The path it gave and the working directory decide, and no option does: PostgreSQL runs both commands in its data
//! directory, while `pgN-path` may name any other cluster of this host, such as the one that this one was restored from.

use std::{
    io,
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};

use super::{Error, Result};
use crate::{
    host::read_small_file,
    postgres::{ControlFile, PostmasterPid, PostmasterStatus},
    repo::stanza::ClusterId,
    wal,
};

/// A running server writes its control file in place, so one look may see half of a write.
const LOOKS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(10);

/// The server that called.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// Its data directory; `None` where nothing shows that a server called.
    directory: Option<PathBuf>,
}

impl Caller {
    /// The server that gave this path of a WAL file.
    pub(super) fn of(given: &Path) -> Self {
        let candidates = [data_directory_of(given), Some(PathBuf::from("."))];
        let directory = candidates.into_iter().flatten().find(|path| is_data_directory(path));
        Self { directory }
    }

    /// Whether it is a standby, which asks again for what it did not get.
    pub(super) fn is_standby(&self) -> bool {
        let has_signal = |path: &PathBuf| path.join("standby.signal").try_exists();
        // Where it cannot be found out, a standby that stops does less harm than a promotion too early.
        self.directory.as_ref().is_some_and(|path| has_signal(path).unwrap_or(false))
    }

    /// Whether the server is shutting down, and waits for the archiver.
    pub(super) fn is_stopping(&self) -> bool {
        let Some(directory) = &self.directory else { return false };
        // It only decides how long to wait, so what cannot be read decides nothing.
        let bytes = read_small_file(&directory.join(PostmasterPid::PATH), PostmasterPid::BYTES_MAX)
            .unwrap_or_default();
        let parsed = PostmasterPid::parse(&bytes);
        parsed.is_ok_and(|server| server.status == Some(PostmasterStatus::Stopping))
    }

    /// The cluster that the server belongs to; `None` where nothing shows that a server called.
    pub(super) fn cluster(&self) -> Result<Option<ClusterId>> {
        let Some(directory) = &self.directory else { return Ok(None) };
        let path = directory.join(ControlFile::PATH);
        let mut looks = 1;
        let control = loop {
            let read = read_small_file(&path, ControlFile::BYTES_MAX);
            let bytes = read.map_err(|source| unreadable(path.clone(), source))?;
            match ControlFile::parse(&bytes) {
                Ok(control) => break control,
                Err(_) if looks < LOOKS => {
                    looks += 1;
                    sleep(PAUSE);
                }
                Err(error) => return Err(error.into()),
            }
        };
        Ok(Some(ClusterId { system_id: control.system_id, version: control.version }))
    }
}

fn unreadable(path: PathBuf, source: io::Error) -> Error {
    wal::Error::File { operation: "read", path, source }.into()
}

/// The directory whose `pg_wal` holds the file.
fn data_directory_of(file: &Path) -> Option<PathBuf> {
    let parent = file.parent().filter(|parent| parent.ends_with("pg_wal"))?;
    match parent.parent()? {
        here if here.as_os_str().is_empty() => Some(PathBuf::from(".")),
        directory => Some(directory.to_owned()),
    }
}

fn is_data_directory(path: &Path) -> bool {
    path.join(ControlFile::PATH).try_exists().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A directory that looks like a data directory.
    fn data_directory(below: &Path, name: &str) -> PathBuf {
        let path = below.join(name);
        fs::create_dir_all(path.join("global")).unwrap();
        fs::create_dir(path.join("pg_wal")).unwrap();
        fs::write(path.join(ControlFile::PATH), "not one").unwrap();
        path
    }

    #[test]
    fn the_path_given_names_the_server() {
        let dir = tempfile::tempdir().unwrap();
        let (primary, standby) =
            (data_directory(dir.path(), "primary"), data_directory(dir.path(), "standby"));
        fs::write(standby.join("standby.signal"), "").unwrap();
        let caller = |path: PathBuf| Caller::of(&path);
        assert!(caller(standby.join("pg_wal/RECOVERYXLOG")).is_standby());
        assert!(!caller(primary.join("pg_wal/RECOVERYXLOG")).is_standby());
        assert!(caller(primary.join("pg_wal/RECOVERYXLOG")).cluster().is_err());
    }

    #[test]
    fn no_server_is_known_where_none_called() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("standby.signal"), "").unwrap();
        let caller = Caller::of(&dir.path().join("pg_wal/RECOVERYXLOG"));
        assert_eq!(caller, Caller { directory: None });
        assert!(!caller.is_standby() && !caller.is_stopping());
        assert_eq!(caller.cluster().unwrap(), None);
    }

    #[test]
    fn a_server_that_stops_is_seen_in_its_pid_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = data_directory(dir.path(), "data");
        let caller = Caller::of(&path.join("pg_wal/000000010000000000000001"));
        for (status, stopping) in [("ready   ", false), ("stopping", true)] {
            let text = format!("7\n/d\n1\n5432\n/s\n*\n   1 2\n{status}\n");
            fs::write(path.join(PostmasterPid::PATH), text).unwrap();
            assert_eq!(caller.is_stopping(), stopping, "{status}");
        }
    }

    #[test]
    fn a_relative_path_is_of_the_working_directory() {
        assert_eq!(data_directory_of(Path::new("pg_wal/RECOVERYXLOG")), Some(PathBuf::from(".")));
        let other = data_directory_of(Path::new("../b/pg_wal/RECOVERYXLOG"));
        assert_eq!(other, Some(PathBuf::from("../b")));
        assert_eq!(data_directory_of(Path::new("/fast/wal/RECOVERYXLOG")), None);
    }
}
