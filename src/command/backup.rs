//! `backup`: copies the cluster over a replication connection into a repository; a diff or incr keeps
//! only what has changed since the backup that it builds on.

mod base;
mod catalogs;
mod change_detection;
mod cluster;
mod job;
mod label;
mod lock_progress;
mod publish;
mod recheck;
mod source_hints;
mod wal_proof;
mod wal_wait;

use rand::RngExt;

use self::{
    change_detection::ChangeDetection, cluster::Cluster, job::Job, lock_progress::LockProgress,
};
use super::{Error, Result, branches, context, expire, own_place, signal::Signals};
use crate::{
    backup::{
        self,
        prior::Prior,
        source::{BackupStop, SourceOptions},
    },
    config::Config,
    repo::{
        archive::WalArchive,
        lock::{self, Lock, LockKind},
        manifest::Manifest,
    },
    types::BackupLabel,
    ui::Ui,
};

/// Takes a backup and publishes it.
pub(super) async fn run(config: &Config, ui: &Ui) -> Result<u8> {
    let stanza = context::stanza(config)?;
    own_place::check(config, config.pgs.values().filter_map(|pg| pg.path.as_deref()))?;
    lock::check_not_stopped(&context::lock_path(config), stanza)?;
    let (repo, _) = context::repo(config)?;
    let mut signals = Signals::listen()?;
    let kind = LockKind::Backup { repo: repo.key };
    let lock = Lock::acquire(&context::lock_path(config), stanza, kind, "backup")?;
    let progress = LockProgress::new(lock, ui.progress("backup"));
    let first = attempt(config, None, &mut signals, &progress).await;
    let label = match first.as_ref().err().and_then(blocks_instead) {
        Some(changes) => attempt(config, Some(changes), &mut signals, &progress).await?,
        None => first?,
    };
    match signals.guard(expire::after_backup(config, &repo, &label)).await {
        Err(error @ Error::Terminated(_)) => {
            Err(Error::AfterBackup { label, source: Box::new(error) })
        }
        expired => expired.map(|()| 0),
    }
}

/// The way out where the server failed to say what has changed: it need not.
fn blocks_instead(error: &Error) -> Option<ChangeDetection> {
    match error {
        Error::Backup(error) => ChangeDetection::after(error),
        _ => None,
    }
}

/// Takes the backup and publishes it. Where it fails before that, nothing is left behind; `changes` is how to find out what has
/// changed, where that is not to be decided again.
async fn attempt(
    config: &Config,
    changes: Option<ChangeDetection>,
    signals: &mut Signals,
    progress: &LockProgress,
) -> Result<BackupLabel> {
    let (mut cluster, mut job) = signals.guard(prepare(config, changes)).await?;
    let options = options(config, &cluster, &job)?;
    match signals.guard(take(&mut job, &mut cluster, &options, progress)).await {
        // A signal that comes now ends the expire that follows.
        Ok(manifest) => publish::publish(&job, &manifest).await.map(|()| job.label),
        Err(error) => {
            cluster.cancel().await;
            publish::discard(&job).await;
            Err(error)
        }
    }
}

/// Connects, checks, and chooses what the backup builds on.
async fn prepare(config: &Config, changes: Option<ChangeDetection>) -> Result<(Cluster, Job<'_>)> {
    let (repo, _) = context::repo(config)?;
    let cluster = Cluster::connect(config).await?;
    let entry = cluster.check(config, &repo).await?;
    let stanza = context::stanza(config)?;
    let facts = cluster.source.facts();
    let choice = base::choose(config.backup.kind, &repo, stanza, &entry, facts).await?;
    let changes = match (&choice.base, changes) {
        (None, _) => None,
        (Some(_), Some(changes)) => Some(changes),
        (Some(base), None) => Some(change_detection::decide(&cluster, &base.manifest).await?),
    };
    if let Some(changes) = &changes {
        changes.report();
    }
    Ok((cluster, Job::begin(config, repo, entry, choice, changes).await?))
}

fn options(config: &Config, cluster: &Cluster, job: &Job<'_>) -> Result<backup::Options> {
    let (_, repo_config) = context::repo(config)?;
    Ok(backup::Options {
        threads: config.process_max.max(1),
        compression: config.backup.compression,
        bundle_size: repo_config.bundle_size,
        digest_key: digest_key(job),
        check_pages: cluster.check_pages(config),
    })
}

/// The key of the block digests: a chain shares one, because digests of different keys do not compare.
fn digest_key(job: &Job<'_>) -> [u8; 32] {
    match &job.choice.base {
        Some(base) => base.manifest.block.digest_key.0,
        None => rand::rng().random(),
    }
}

/// Start, copy, wait for the WAL, and make the manifest.
async fn take(
    job: &mut Job<'_>,
    cluster: &mut Cluster,
    options: &backup::Options,
    progress: &LockProgress,
) -> Result<Manifest> {
    let settings = &job.config.backup;
    let mut prior = prior(job)?;
    let told = source_hints::facts(job, cluster.source.kind(), prior.as_mut()).await?;
    let placement = cluster.sql.placement().await?;
    let start = cluster
        .start(&SourceOptions {
            label: server_label(&job.label.to_string()),
            start_fast: settings.start_fast,
            max_rate_kb: settings.max_rate_kb,
            in_place_tablespaces: cluster.in_place_tablespaces(),
            prior: told,
        })
        .await?;
    let target = backup::Target { storage: job.repo.storage.clone(), paths: job.paths.clone() };
    let source = &mut *cluster.source;
    let taken = backup::take(source, &start, prior, target, options, progress).await;
    let mut taken = match taken {
        Ok(taken) => taken,
        Err(error) => return Err(cluster.explain(error).await.into()),
    };
    cluster.report_stop(&taken.stop);
    cluster.renew_sessions().await?;
    cluster.follow_promotion(job.config, &start, &taken.stop).await;
    catalogs::check(cluster, &placement, &taken.landmarks).await?;
    cluster.end_last_segment(&taken.stop).await;
    recheck::drop_mended_pages(cluster, &start, &mut taken.written.page_errors).await?;
    recheck::drop_grown_files(cluster, &mut taken.written.misaligned_files).await?;
    recheck::report(&taken.written.page_errors, &taken.written.misaligned_files);
    wal_wait::wait(job, cluster, &start, &taken.stop).await?;
    warn_of_branches(job, cluster, &taken.stop).await;
    publish::prepare(job, cluster, options, &start, taken).await
}

/// The label that the server is given, which ends up in its backup history file.
fn server_label(label: &str) -> String {
    format!("pgstrata backup {label}")
}

/// The backup is good on its own timeline whatever others do, so what cannot be looked at does not fail it.
async fn warn_of_branches(job: &Job<'_>, cluster: &Cluster, stop: &BackupStop) {
    let size = cluster.source.facts().wal_segment_size;
    let look = async {
        let storage = job.repo.storage.clone();
        let archive = WalArchive::new(storage, job.stanza, job.entry.archive_id())?;
        branches::warn(&archive, job.repo.key, size, stop.timeline()).await
    };
    if let Err(error) = look.await {
        tracing::warn!("unable to look for other servers that archive into this stanza: {error}");
    }
}

/// The prior backup, for the comparison.
fn prior(job: &mut Job<'_>) -> Result<Option<Prior>> {
    let Some(base) = &mut job.choice.base else { return Ok(None) };
    let list = std::mem::take(&mut base.list);
    Ok(Some(Prior::new(job.repo.storage.clone(), &base.manifest, list, &job.label)?))
}
