//! Whether pgN-path is the data directory that the connected server runs from. Where it is another one, a
//! backup would still be right, but archive-get and restore would write into the wrong directory.

use std::{
    fs,
    io::{ErrorKind, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::Connected;
use crate::{
    command::{Error, Result},
    config::PgConfig,
    host::read_small_file,
    postgres::{ControlFile, Endpoint, PostmasterPid},
    repo::stanza::ClusterId,
    types::ErrorCode,
};

/// Refuses a pgN-path that is not the server's data directory, as far as this host can tell.
pub(super) async fn check(pg: &PgConfig, server: &Connected) -> Result<()> {
    let Some(path) = &pg.path else { return Ok(()) };
    check_cluster(pg, path, server.id())?;
    if !is_on_this_host(&server.options.endpoint) {
        return Ok(());
    }
    let Some(named) = server.facts.data_directory.as_ref().map(PathBuf::from) else {
        tracing::debug!(
            "pg{}-path is not compared with data_directory, because the role may not see it",
            pg.key
        );
        return Ok(());
    };
    let started = server.sql.postmaster_start_us().await?.div_euclid(1_000_000);
    match is_another(path, &named, started) {
        false => Ok(()),
        true => Err(Error::Check {
            what: format!(
                "pg{}-path is '{}', but the server runs from '{}'",
                pg.key,
                path.display(),
                named.display()
            ),
            code: ErrorCode::DbMismatch,
            hint: format!(
                "set pg{0}-path={1}, or pg{0}-port and pg{0}-socket-path to those of the server in pg{0}-path",
                pg.key,
                named.display()
            ),
        }),
    }
}

/// Whether the server listens on this host. A path of another host is not looked for here.
fn is_on_this_host(endpoint: &Endpoint) -> bool {
    match endpoint {
        Endpoint::Socket { .. } => true,
        Endpoint::Tcp { host, .. } => {
            host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        }
    }
}

/// Whether `path` is proven to be another directory than the one that the server, which started at
/// `started`, calls `named`. A container can have the same directory at another path, and another directory
/// at the same path; then nothing is proven.
fn is_another(path: &Path, named: &Path, started: i64) -> bool {
    if path == named {
        return false;
    }
    let (here, there) = (fs::metadata(path), fs::metadata(named));
    if let (Ok(here), Ok(there)) = (&here, &there)
        && (here.dev(), here.ino()) == (there.dev(), there.ino())
    {
        return false;
    }
    // The server's directory is here, where the server says, and is not this one.
    if runs_in(named, started) == Some(true) {
        return true;
    }
    match here {
        Ok(_) if is_data_directory(path) => runs_in(path, started) == Some(false),
        Ok(_) => is_data_directory(named),
        Err(error) => error.kind() == ErrorKind::NotFound && is_data_directory(named),
    }
}

fn is_data_directory(path: &Path) -> bool {
    fs::metadata(path.join(ControlFile::PATH)).is_ok_and(|file| file.is_file())
}

/// Whether the server that started at this second runs in the directory; `None` where that cannot be seen.
fn runs_in(path: &Path, started: i64) -> Option<bool> {
    match read_small_file(&path.join(PostmasterPid::PATH), PostmasterPid::BYTES_MAX) {
        Ok(text) => {
            let pid = PostmasterPid::parse(&text).ok();
            Some(pid.is_some_and(|pid| pid.started_with(started)))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Some(false),
        Err(_) => None,
    }
}

/// Refuses where the data directory is that of another cluster. One that cannot be read is not ours
/// to judge: a backup needs nothing but the connection.
fn check_cluster(pg: &PgConfig, path: &Path, server: ClusterId) -> Result<()> {
    let file = path.join(ControlFile::PATH);
    let Some(bytes) = read_start(&file)? else { return Ok(()) };
    let control = ControlFile::parse(&bytes)?;
    let found = ClusterId { system_id: control.system_id, version: control.version };
    match found == server {
        true => Ok(()),
        false => Err(Error::Check {
            what: format!("the server is {server}, but '{}' is that of {found}", file.display()),
            code: ErrorCode::DbMismatch,
            hint: format!(
                "pg{0}-path and pg{0}-host, pg{0}-port or pg{0}-socket-path likely name different \
                 clusters",
                pg.key
            ),
        }),
    }
}

fn read_start(file: &Path) -> Result<Option<Vec<u8>>> {
    let opened = match fs::File::open(file) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {
            tracing::debug!("'{}' is not checked: {error}", file.display());
            return Ok(None);
        }
        opened => opened,
    };
    let mut bytes = Vec::with_capacity(ControlFile::READ_BYTES);
    let read = opened.and_then(|f| f.take(ControlFile::READ_BYTES as u64).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(Some(bytes)),
        Err(error) => Err(Error::Check {
            what: format!("unable to read '{}': {error}", file.display()),
            code: ErrorCode::FileRead,
            hint: "check the owner and mode of the data directory".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STARTED: i64 = 1_764_000_000;

    /// A directory with a control file and, where the server runs in it, a postmaster.pid.
    fn directory(root: &Path, name: &str, started: Option<i64>) -> PathBuf {
        let path = root.join(name);
        fs::create_dir_all(path.join("global")).unwrap();
        fs::write(path.join(ControlFile::PATH), "x").unwrap();
        if let Some(started) = started {
            let text =
                format!("4711\n{}\n{started}\n5432\n/tmp\n\n  1 2\nready   \n", path.display());
            fs::write(path.join(PostmasterPid::PATH), text).unwrap();
        }
        path
    }

    #[test]
    fn only_what_is_proven_to_be_another_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let running = directory(root, "running", Some(STARTED - 1));
        let old = directory(root, "old", None);
        let copy = directory(root, "copy", Some(STARTED - 1));
        let link = root.join("link");
        std::os::unix::fs::symlink(&running, &link).unwrap();
        let empty = root.join("empty");
        fs::create_dir(&empty).unwrap();
        let gone = root.join("gone");
        let is_another = |path: &Path, named: &Path| is_another(path, named, STARTED);

        assert!(!is_another(&running, &running));
        assert!(!is_another(&link, &running));
        for path in [&old, &copy, &empty, &gone] {
            assert!(is_another(path, &running), "{}", path.display());
        }
        // The server's own path means nothing here: it runs in a container.
        let inside = Path::new("/of/the/container");
        assert!(!is_another(&running, inside), "mounted at another path");
        assert!(is_another(&old, inside), "a data directory that no server runs in");
        assert!(!is_another(&empty, inside) && !is_another(&gone, inside), "nothing is known");
        assert!(!is_another(&running, &empty), "an image has an empty directory of that name");
    }

    #[test]
    fn a_path_of_another_host_is_not_looked_for() {
        let tcp = |host: &str| Endpoint::Tcp { host: host.to_owned(), port: 5432 };
        assert!(is_on_this_host(&Endpoint::Socket { directory: None, port: 5432 }));
        assert!(is_on_this_host(&tcp("localhost")) && is_on_this_host(&tcp("::1")));
        assert!(!is_on_this_host(&tcp("db1.example.com")) && !is_on_this_host(&tcp("10.0.0.1")));
    }

    #[test]
    fn a_directory_that_is_not_there_is_not_judged() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read_start(&dir.path().join("none")).unwrap().is_none());
        let file = dir.path().join("pg_control");
        fs::write(&file, vec![1; 8192]).unwrap();
        assert_eq!(read_start(&file).unwrap().map(|b| b.len()), Some(ControlFile::READ_BYTES));
        assert!(read_start(dir.path()).is_err(), "a directory is no control file");
    }
}
