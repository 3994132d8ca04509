//! `backup`: copies the cluster into a repository; a diff or incr keeps only what has changed since the
//! backup that it builds on.

mod cluster;
mod lock_progress;
mod options;
mod report;

use std::io::Write;

use self::{cluster::Cluster, lock_progress::LockProgress, options::options};
use super::{
    Error, Result, branches,
    context::{self, Repo},
    expire, own_place,
    signal::Signals,
};
use crate::{
    backup::{
        self, BackupJob, BackupOptions, BackupPlan, BackupTarget, ChangeDetection,
        ConnectedCluster, TakenBackup,
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

/// Everything that the attempts of a backup share.
struct Setting<'a> {
    config: &'a Config,
    repo: &'a Repo,
    options: BackupOptions,
    progress: LockProgress,
}

/// Takes a backup, publishes it, and expires what it makes superfluous; or says what it would do.
pub(super) async fn run(config: &Config, ui: &Ui, out: &mut dyn Write) -> Result<u8> {
    let stanza = context::stanza(config)?;
    own_place::check(config, config.pgs.values().filter_map(|pg| pg.path.as_deref()))?;
    lock::check_not_stopped(&context::lock_path(config), stanza)?;
    let (repo, repo_config) = context::repo(config)?;
    let mut signals = Signals::listen()?;
    let kind = LockKind::Backup { repo: repo.key };
    let lock = Lock::acquire(&context::lock_path(config), stanza, kind, "backup")?;
    let progress = LockProgress::new(lock, ui.progress("backup"));
    let setting = Setting { config, repo: &repo, options: options(config, repo_config), progress };
    if config.dry_run {
        let (_, _, plan) = signals.guard(plan(&setting, None)).await?;
        return report::planned(out, config.output, repo.key, &plan).map(|()| 0);
    }
    let first = attempt(&setting, None, &mut signals).await;
    let label = match first.as_ref().err().and_then(blocks_instead) {
        Some(changes) => attempt(&setting, Some(changes), &mut signals).await?,
        None => first?,
    };
    match signals.guard(expire::after_backup(config, &repo, &label)).await {
        Err(error @ Error::Terminated(_)) => {
            Err(Error::AfterBackup { label, source: Box::new(error) })
        }
        expired => expired.map(|()| 0),
    }
}

/// The change detection to fall back to after the server's own failed: comparing blocks.
fn blocks_instead(error: &Error) -> Option<ChangeDetection> {
    match error {
        Error::Backup(error) => ChangeDetection::after(error),
        _ => None,
    }
}

/// Plans, takes and publishes. An attempt that fails before it publishes leaves nothing behind. `changes` is given if change
/// detection was decided before.
async fn attempt(
    setting: &Setting<'_>,
    changes: Option<ChangeDetection>,
    signals: &mut Signals,
) -> Result<BackupLabel> {
    let begun = async {
        let (cluster, target, plan) = plan(setting, changes).await?;
        let job = BackupJob::begin(target, setting.options.clone(), plan).await?;
        Ok((cluster, job))
    };
    let (mut cluster, mut job) = signals.guard(begun).await?;
    match signals.guard(take(setting, &mut job, &mut cluster)).await {
        Ok(manifest) => {
            // Not guarded: a manifest that is being sent cannot be taken back. A signal that comes now ends the expire.
            backup::publish(&job, &manifest).await?;
            report::published(&manifest);
            Ok(manifest.label)
        }
        Err(error) => {
            cluster.source_mut().cancel().await;
            backup::discard(&job).await;
            Err(error)
        }
    }
}

/// Connects, checks, and plans.
async fn plan<'a>(
    setting: &Setting<'a>,
    changes: Option<ChangeDetection>,
) -> Result<(Cluster<'a>, BackupTarget, BackupPlan)> {
    let Setting { config, repo, options, .. } = setting;
    let cluster = Cluster::connect(config).await?;
    let target = BackupTarget {
        storage: repo.storage.clone(),
        stanza: context::stanza(config)?.clone(),
        entry: cluster.check(config, repo).await?,
    };
    let plan = backup::plan(&target, &cluster, options.kind, changes).await?;
    Ok((cluster, target, plan))
}

/// Copies, waits for the WAL, and makes the manifest.
async fn take(
    setting: &Setting<'_>,
    job: &mut BackupJob,
    cluster: &mut Cluster<'_>,
) -> Result<Manifest> {
    let taken = backup::take(job, cluster, &setting.progress).await?;
    warn_of_branches(setting.repo, job, cluster, &taken).await;
    Ok(backup::prepare(job, cluster, taken).await?)
}

/// The backup is good on its own timeline whatever others do, so what cannot be looked at does not fail it.
async fn warn_of_branches(
    repo: &Repo,
    job: &BackupJob,
    cluster: &Cluster<'_>,
    taken: &TakenBackup,
) {
    let size = cluster.source().facts().wal_segment_size;
    let look = async {
        let BackupTarget { storage, stanza, entry } = &job.target;
        let archive = WalArchive::new(storage.clone(), stanza, entry.archive_id())?;
        branches::warn(&archive, repo.key, size, taken.output.stop.timeline()).await
    };
    if let Err(error) = look.await {
        tracing::warn!("unable to check for other servers that archive into this stanza: {error}");
    }
}
