//! `archive-push`: PostgreSQL's `archive_command`. Success means that every repository has the file
//! durably.

use std::path::{Path, PathBuf};

use super::{Error, Result, context};
use crate::{
    config::Config,
    repo::{
        archive::WalArchive,
        lock,
        stanza::{ClusterId, StanzaHistory},
    },
    types::ErrorCode,
    wal::push::{self, PushOptions, Pushed},
};

/// Stores the file that the command line names in every repository.
pub async fn run(config: &Config) -> Result<u8> {
    let stanza = context::stanza(config)?;
    lock::check_not_stopped(&config.lock_path, stanza)?;
    let path = segment_path(config)?;
    for repo in context::repos(config)? {
        let history = StanzaHistory::read(&*repo.storage, stanza).await?;
        let current = history.current();
        let archive = WalArchive::new(repo.storage, stanza.clone(), current.archive_id());
        let options = PushOptions {
            cluster: config.archive.header_check.then_some(current.cluster),
            compression: config.backup.compression,
        };
        report(&path, repo.key, push::push(&archive, &path, &options).await?);
    }
    Ok(0)
}
