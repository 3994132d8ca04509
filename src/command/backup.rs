//! `backup`: copies the cluster over a replication connection into a repository.

mod archive_wait;
mod cluster;
mod label;
mod publish;
mod recheck;

use std::io::Write;

use rand::RngExt;

use self::cluster::Cluster;
use super::{Result, context, signal};
use crate::{
    backup::{
        self,
        source::{BackupSource, SourceOptions},
    },
    config::Config,
    repo::{
        layout::BackupPaths,
        lock::{self, Lock, LockKind},
    },
    types::{BackupLabel, BackupType},
    ui,
};

/// Takes a backup and publishes it.
pub async fn run(config: &Config, _out: &mut dyn Write) -> Result<u8> {
    let stanza = context::stanza(config)?;
    lock::check_not_stopped(&config.lock_path, stanza)?;
    let (repo, repo_config) = context::repo(config)?;
    let lock = Lock::acquire(
        &config.lock_path,
        stanza,
        LockKind::Backup { repo: repo.key },
        "backup",
    )?;
    let mut cluster = Cluster::connect(config).await?;
    let entry = cluster.check_stanza(&repo, stanza).await?;
    cluster.check_archiving(config)?;
    warn_of_later_features(config);
    let started = jiff::Timestamp::now().as_second();
    let label = label::choose(&*repo.storage, stanza).await?;
    let paths = BackupPaths::new(stanza, &label)?;
    let job = Job { config, label, paths, digest_key: rand::rng().random(), started };
    let progress = ui::progress::for_backup(lock, &config.log);
    let target =
        backup::Target { storage: repo.storage.clone(), paths: job.paths.clone() };
    let work = async {
        let (start, taken) = job.take(&mut *cluster.source, target, repo_config.bundle_size, &progress).await?;
        let taken = recheck::drop_mended_pages(&mut cluster.sql, &start, taken).await?;
        archive_wait::wait(config, &repo, &entry, &cluster, &start, &taken.stop).await?;
        publish::publish(&job, &repo, &entry, &mut cluster, start, taken).await
    };
    match signal::or_terminated(work).await {
        Ok(code) => Ok(code),
        Err(error) => {
            cluster.source.cancel().await;
            publish::discard(&*repo.storage, &job.paths).await;
            Err(error)
        }
    }
}
