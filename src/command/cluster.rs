//! Which cluster the configuration means: the connection says, and the data directory, where this
//! host can read it, must agree.

use std::{
    io::{ErrorKind, Read},
    path::Path,
};

use super::{Error, Result, context};
use crate::{
    config::{Config, PgConfig},
    postgres::{ControlFile, ServerFacts, SqlClient},
    repo::stanza::ClusterId,
    types::ErrorCode,
};

/// A session with the cluster, and what it is.
pub(super) struct Connected {
    /// The session.
    pub(super) sql: SqlClient,
    /// What the server says of itself.
    pub(super) facts: ServerFacts,
}

impl Connected {
    /// What identifies the cluster to a stanza.
    pub(super) fn id(&self) -> ClusterId {
        ClusterId { system_id: self.facts.system_id, version: self.facts.version }
    }
}

/// Connects to the configured cluster and makes sure that the data directory is its.
pub(super) async fn connect(config: &Config) -> Result<Connected> {
    let pg = context::pg(config)?;
    let sql = SqlClient::connect(&context::connect_options(config, pg)?).await?;
    let connected = Connected { facts: sql.server_facts().await?, sql };
    check_directory(pg, connected.id())?;
    Ok(connected)
}

/// Refuses where the data directory is that of another cluster. One that cannot be read is not ours
/// to judge: a backup needs nothing but the connection.
fn check_directory(pg: &PgConfig, server: ClusterId) -> Result<()> {
    let Some(path) = &pg.path else { return Ok(()) };
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
    let opened = match std::fs::File::open(file) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {
            tracing::debug!("'{}' is not looked at: {error}", file.display());
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

    #[test]
    fn a_directory_that_is_not_there_is_not_judged() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read_start(&dir.path().join("none")).unwrap().is_none());
        let file = dir.path().join("pg_control");
        std::fs::write(&file, vec![1; 8192]).unwrap();
        assert_eq!(read_start(&file).unwrap().map(|b| b.len()), Some(ControlFile::READ_BYTES));
        assert!(read_start(dir.path()).is_err(), "a directory is no control file");
    }
}
