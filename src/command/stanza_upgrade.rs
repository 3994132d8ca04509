//! `stanza-upgrade`: makes the cluster, after pg_upgrade or initdb, the current one of its stanza. The
//! backups and WAL of the clusters before stay restorable.

use std::io::Write;

use super::{Result, cluster, context, failures::in_each};
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
    lock::check_not_stopped(&context::lock_path(config), stanza)?;
    let cluster = cluster::connect(config).await?;
    let control_version = Some(cluster.facts.control_version);
    let repos = context::repos(config)?;
    let failures = in_each("stanza-upgrade", &repos, async |repo| {
        tracing::info!("stanza-upgrade for stanza '{stanza}' on repo{}", repo.key);
        let kind = LockKind::Backup { repo: repo.key };
        let _lock = Lock::acquire(&context::lock_path(config), stanza, kind, "stanza-upgrade")?;
        match stanza::upgrade(&*repo.storage, stanza, cluster.id(), control_version).await? {
            Created::New => {
                tracing::info!("stanza '{stanza}' on repo{} is now {}", repo.key, cluster.id());
            }
            Created::AlreadyThere => {
                tracing::info!("stanza '{stanza}' on repo{} is already up to date", repo.key);
            }
        }
        Ok(())
    });
    let failures = failures.await?;
    cluster.sql.close().await;
    failures.finish().map(|()| 0)
}
