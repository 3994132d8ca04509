//! `backup`: copies the cluster over a replication connection into a repository.

mod archive_wait;
mod cluster;
mod label;
mod lock_progress;
mod publish;
mod recheck;

use rand::RngExt;

use self::{cluster::Cluster, lock_progress::LockProgress, publish::Job};
use super::{Result, context, signal::Signals};
use crate::{
    backup::{self, source::SourceOptions},
    config::Config,
    repo::lock::{self, Lock, LockKind},
    types::BackupType,
    ui::Ui,
};

/// Takes a backup and publishes it.
pub(super) async fn run(config: &Config, ui: &Ui) -> Result<u8> {
    let stanza = context::stanza(config)?;
    lock::check_not_stopped(&config.lock_path, stanza)?;
    let (repo, repo_config) = context::repo(config)?;
    let mut signals = Signals::listen()?;
    let kind = LockKind::Backup { repo: repo.key };
    let lock = Lock::acquire(&config.lock_path, stanza, kind, "backup")?;
    warn_of_what_is_not_done(config);
    let prepared = async {
        let cluster = Cluster::connect(config).await?;
        let entry = cluster.check(config, &repo).await?;
        Ok((cluster, entry, label::choose(&*repo.storage, stanza).await?))
    };
    let (mut cluster, entry, label) = signals.guard(prepared).await?;
    let job = Job::new(config, repo, entry, label)?;
    let options = backup::Options {
        threads: config.process_max.max(1),
        compression: config.backup.compression,
        bundle_size: repo_config.bundle_size,
        digest_key: rand::rng().random(),
        check_pages: cluster.check_pages(config),
    };
    let progress = LockProgress::new(lock, ui.progress("backup"));
    match signals.guard(take(&job, &mut cluster, &options, &progress)).await {
        Ok(()) => Ok(0),
        Err(error) => {
            cluster.cancel().await;
            publish::discard(&job).await;
            Err(error)
        }
    }
}

/// Start, copy, wait for the WAL, publish.
async fn take(
    job: &Job<'_>,
    cluster: &mut Cluster,
    options: &backup::Options,
    progress: &LockProgress,
) -> Result<()> {
    let settings = &job.config.backup;
    let start = cluster
        .start(&SourceOptions {
            label: format!("pgstrata backup {}", job.label),
            start_fast: settings.start_fast,
            max_rate_kb: settings.max_rate_kb,
            prior: None,
        })
        .await?;
    let target = backup::Target { storage: job.repo.storage.clone(), paths: job.paths.clone() };
    let mut taken = backup::take(&mut cluster.source, &start, target, options, progress).await?;
    cluster.report_stop(&taken.stop);
    recheck::drop_mended_pages(cluster, &start, &mut taken.written.page_errors).await?;
    recheck::report(&taken.written.page_errors);
    archive_wait::wait(job, cluster, &start, &taken.stop).await?;
    publish::publish(job, cluster, options, &start, taken).await
}

/// Says what was asked for and is not part of this version, so that nobody relies on it.
fn warn_of_what_is_not_done(config: &Config) {
    if config.backup.kind != BackupType::Full {
        tracing::warn!(
            "{} backups are not part of this version: a full backup is made, which is safe but larger",
            config.backup.kind
        );
    }
}
