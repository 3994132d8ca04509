//! `backup`: copies the cluster over a replication connection into a repository; a diff or incr keeps
//! only what has changed since the backup that it builds on.

mod archive_wait;
mod cluster;
mod job;
mod label;
mod lock_progress;
mod prior;
mod publish;
mod recheck;
#[allow(dead_code)]
mod summaries;

use rand::RngExt;

use self::{cluster::Cluster, job::Job, lock_progress::LockProgress};
use super::{Result, context, signal::Signals};
use crate::{
    backup::{
        self,
        prior::Prior,
        source::{BackupSource, SourceOptions},
    },
    config::Config,
    repo::{
        lock::{self, Lock, LockKind},
        manifest::{ChangeRecord, ChangesBy},
    },
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
    let (mut cluster, mut job) = signals.guard(prepare(config, repo)).await?;
    let options = backup::Options {
        threads: config.process_max.max(1),
        compression: config.backup.compression,
        bundle_size: repo_config.bundle_size,
        digest_key: digest_key(&job),
        check_pages: cluster.check_pages(config),
    };
    let progress = LockProgress::new(lock, ui.progress("backup"));
    match signals.guard(take(&mut job, &mut cluster, &options, &progress)).await {
        Ok(()) => Ok(0),
        Err(error) => {
            cluster.cancel().await;
            publish::discard(&job).await;
            Err(error)
        }
    }
}

/// Connects, checks, and chooses what the backup builds on.
async fn prepare(config: &Config, repo: context::Repo) -> Result<(Cluster, Job<'_>)> {
    let cluster = Cluster::connect(config).await?;
    let entry = cluster.check(config, &repo).await?;
    let stanza = context::stanza(config)?;
    let facts = cluster.source.facts();
    let choice = prior::choose(config.backup.kind, &repo, stanza, &entry, facts).await?;
    Ok((cluster, Job::begin(config, repo, entry, choice).await?))
}

/// The key of the block digests: a chain shares one, because digests of different keys do not compare.
fn digest_key(job: &Job<'_>) -> [u8; 32] {
    match &job.choice.base {
        Some(base) => base.manifest.block.digest_key.0,
        None => rand::rng().random(),
    }
}

/// Start, copy, wait for the WAL, publish.
async fn take(
    job: &mut Job<'_>,
    cluster: &mut Cluster,
    options: &backup::Options,
    progress: &LockProgress,
) -> Result<()> {
    let settings = &job.config.backup;
    let prior = prior(job)?;
    let start = cluster
        .start(&SourceOptions {
            label: format!("pgstrata backup {}", job.label),
            start_fast: settings.start_fast,
            max_rate_kb: settings.max_rate_kb,
            prior: None,
        })
        .await?;
    let target = backup::Target { storage: job.repo.storage.clone(), paths: job.paths.clone() };
    let source = &mut cluster.source;
    let mut taken = backup::take(source, &start, prior, target, options, progress).await?;
    cluster.report_stop(&taken.stop);
    cluster.end_last_segment(&taken.stop).await;
    recheck::drop_mended_pages(cluster, &start, &mut taken.written.page_errors).await?;
    recheck::report(&taken.written.page_errors);
    archive_wait::wait(job, cluster, &start, &taken.stop).await?;
    publish::publish(job, cluster, options, &start, taken).await
}

/// The prior backup, for the comparison.
fn prior(job: &mut Job<'_>) -> Result<Option<Prior>> {
    let Some(base) = &mut job.choice.base else { return Ok(None) };
    job.changes = Some(ChangeRecord { by: ChangesBy::Blocks, reason: None });
    let list = std::mem::take(&mut base.list);
    Ok(Some(Prior::new(job.repo.storage.clone(), &base.manifest, list, &job.label)?))
}
