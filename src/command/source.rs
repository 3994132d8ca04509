//! Chooses where the files of a backup are read: in the data directory, which is faster, or over the
//! replication protocol, which needs nothing on the server's host.

use std::{path::Path, sync::Arc};

use super::{Error, Result};
use crate::{
    backup::{
        UNSEEN_HINT,
        source::{BackupSource, LocalSource, StreamSource, Unfit},
    },
    config::{Config, SourceChoice},
    postgres::{ConnectOptions, DataDirectory},
    types::ErrorCode,
};

/// A source, and the data directory that it reads.
pub(super) struct Opened {
    pub(super) source: Box<dyn BackupSource>,
    pub(super) directory: Option<Arc<DataDirectory>>,
}

/// Opens the source that `backup-source` says, for the server pg`key`.
pub(super) async fn open(config: &Config, key: u16, options: &ConnectOptions) -> Result<Opened> {
    let path = config.pgs.get(&key).and_then(|pg| pg.path.as_deref());
    let unfit = match (config.backup.source, path) {
        (SourceChoice::Stream, _) => None,
        (_, None) => Some(Unfit::Directory(format!("pg{key}-path is not set"))),
        (_, Some(path)) => match local(options, path).await? {
            Ok(opened) => return Ok(opened),
            Err(unfit) => Some(unfit),
        },
    };
    match (config.backup.source, unfit) {
        (SourceChoice::Local, Some(unfit)) => return Err(no_local(key, &unfit)),
        (_, Some(unfit)) => tracing::info!(
            "reading files over the replication protocol, because \
                                            {unfit}"
        ),
        (_, None) => tracing::info!("reading files over the replication protocol"),
    }
    let source = Box::new(StreamSource::connect(options).await?);
    Ok(Opened { source, directory: None })
}

async fn local(
    options: &ConnectOptions,
    path: &Path,
) -> Result<std::result::Result<Opened, Unfit>> {
    Ok(match LocalSource::open(options, path).await? {
        Ok(source) => {
            tracing::info!("reading files from '{}'", path.display());
            let directory = Some(source.directory());
            Ok(Opened { source: Box::new(source), directory })
        }
        Err(unfit) => Err(unfit),
    })
}

fn no_local(key: u16, unfit: &Unfit) -> Error {
    let (what, code, hint) = match unfit {
        Unfit::Rights { grant, .. } => (
            format!("pg{key}: the backup cannot be taken with backup-source=local: {unfit}"),
            ErrorCode::DbQuery,
            grant.clone(),
        ),
        Unfit::Unseen(_) => (
            format!("the data directory of pg{key} cannot be read completely: {unfit}"),
            ErrorCode::FileOpen,
            UNSEEN_HINT.to_owned(),
        ),
        Unfit::Directory(_) => (
            format!("the data directory of pg{key} cannot be read: {unfit}"),
            ErrorCode::FileOpen,
            "backup-source=local needs pgN-path to be the data directory of the connected server, \
             readable for this user; backup-source=stream does not need it"
                .to_owned(),
        ),
    };
    Error::Check { what, code, hint }
}
