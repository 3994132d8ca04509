//! `stanza-upgrade`: makes the cluster, after pg_upgrade or initdb, the current one of its stanza. The
//! backups and WAL of the clusters before stay restorable.

use std::io::Write;

use super::{Result, cluster, context};
use crate::{
    config::Config,
    repo::{
        lock::{self, Lock, LockKind},
        stanza::{self, Created},
    },
};

/// Adds the cluster to the history of the stanza in every repository.
pub(super) async fn run(config: &Config, _out: &mut dyn Write) -> Result<u8> {
    let stanza = context::stanza(config)?;
    lock::check_not_stopped(&config.lock_path, stanza)?;
    let cluster = cluster::connect(config).await?;
    let control_version = Some(cluster.facts.control_version);
    for repo in context::repos(config)? {
        tracing::info!("stanza-upgrade for stanza '{stanza}' on repo{}", repo.key);
        let kind = LockKind::Backup { repo: repo.key };
        let _lock = Lock::acquire(&config.lock_path, stanza, kind, "stanza-upgrade")?;
        match stanza::upgrade(&*repo.storage, stanza, cluster.id(), control_version).await? {
            Created::New => tracing::info!("stanza '{stanza}' is now {}", cluster.id()),
            Created::AlreadyThere => {
                tracing::info!("stanza '{stanza}' on repo{} is already up to date", repo.key);
            }
        }
    }
    cluster.sql.close().await;
    Ok(0)
}
