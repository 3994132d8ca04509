//! Takes a backup: begins it on the server, copies the files, looks again at what may be missing or damaged, and waits until
//! the archive has its WAL.

use super::{
    BackupJob, BackupOptions, Error, Result, catalogs,
    cluster::ConnectedCluster,
    pipeline::{self, PipelineOptions, PipelineOutput, PipelineTarget},
    plan::source_hints,
    recheck,
    source::{BackupStart, BackupStop, ClusterFacts, SourceHints, SourceOptions},
    wal_wait,
};
use crate::{
    postgres::TablespaceInfo,
    types::{Oid, WalSegment, progress::ProgressSink},
};

/// A backup whose data is durable and whose WAL is in the archive, but which is not published yet.
#[derive(Debug)]
pub struct TakenBackup {
    /// Where it began.
    pub start: BackupStart,
    /// What the pipeline wrote, and where the backup ended.
    pub output: PipelineOutput,
}

/// Takes the backup of `job`, which was begun.
pub async fn take(
    job: &mut BackupJob,
    cluster: &mut dyn ConnectedCluster,
    progress: &dyn ProgressSink,
) -> Result<TakenBackup> {
    let mut prior = job.take_prior().await?;
    let makes_manifest = cluster.source().makes_manifest();
    let (storage, delta) = (job.target.storage.clone(), job.options.delta);
    let hints =
        source_hints::hints(&*storage, &mut job.plan, prior.as_mut(), makes_manifest, delta)
            .await?;
    // Asked before the start: what exists by then must be in the copy, and what is created later comes with the WAL.
    let placement = cluster.placement().await?;
    let start = start(job, cluster, hints).await?;
    // The WAL of the backup has its checkpoint record: the stop is behind the last restartpoint (`CreateRestartPoint` in
    // `xlog.c`). Later the standby may have one that is behind the stop.
    let restartpoint = match cluster.source().facts().in_recovery {
        true => Some(cluster.restartpoint().await?),
        false => None,
    };
    let target = PipelineTarget { storage, paths: job.paths.clone() };
    let options = pipeline_options(job, cluster.source().facts());
    let source = cluster.source_mut();
    let copied = pipeline::run(source, &start, prior, target, &options, progress).await;
    let mut output = match copied {
        Ok(output) => output,
        Err(error) => return Err(cluster.explain(error).await),
    };
    report_stop(cluster, &output.stop);
    // The sessions for SQL were idle in the hours of the copy. What was copied is not worth less if one of them ended.
    cluster.renew_sessions().await?;
    cluster.follow_promotion(start.timeline, output.stop.timeline()).await;
    catalogs::check(cluster, &placement, &output.landmarks).await?;
    end_last_segment(cluster, &output.stop).await;
    recheck::drop_mended_pages(cluster, &start, &mut output.written.page_errors).await?;
    recheck::drop_grown_files(cluster, &mut output.written.misaligned_files).await?;
    recheck::report(&output.written.page_errors, &output.written.misaligned_files);
    wal_wait::wait(job, cluster, &start, &output.stop, restartpoint).await?;
    Ok(TakenBackup { start, output })
}

/// Begins the backup on the server.
async fn start(
    job: &BackupJob,
    cluster: &mut dyn ConnectedCluster,
    hints: Option<SourceHints>,
) -> Result<BackupStart> {
    let BackupOptions { start_fast, max_rate_kb, .. } = job.options;
    let options = SourceOptions {
        label: job.server_label(),
        start_fast,
        max_rate_kb,
        in_place_tablespaces: in_place(&cluster.details().tablespaces),
        hints,
    };
    let checkpoint = if start_fast { "checkpoint" } else { "the next regular checkpoint" };
    tracing::info!("starting backup, waiting for {checkpoint}");
    let start = cluster.source_mut().start(&options).await?;
    // One that was made since SQL was asked for them may be in no archive and in no WAL of the backup.
    if in_place(&cluster.tablespaces().await?) != options.in_place_tablespaces {
        return Err(Error::TablespacesChanged);
    }
    let size = cluster.source().facts().wal_segment_size;
    let segment = WalSegment::containing(start.lsn, start.timeline, size);
    tracing::info!("backup start archive = {segment}, lsn = {}", start.lsn);
    Ok(start)
}

/// The tablespaces that are directories in `pg_tblspc`, made with `allow_in_place_tablespaces`.
fn in_place(tablespaces: &[TablespaceInfo]) -> Vec<Oid> {
    let inside = |tablespace: &&TablespaceInfo| !tablespace.location.starts_with('/');
    tablespaces.iter().filter(inside).map(|tablespace| tablespace.oid).collect()
}

fn pipeline_options(job: &BackupJob, facts: &ClusterFacts) -> PipelineOptions {
    let BackupOptions { threads, compression, bundle_size, check_pages, .. } = job.options;
    PipelineOptions {
        threads,
        compression,
        bundle_size,
        digest_key: job.digest_key,
        check_pages: checks_pages(check_pages, facts),
    }
}

/// Whether pages are checked: as asked for, else where the cluster has checksums.
fn checks_pages(asked: Option<bool>, facts: &ClusterFacts) -> bool {
    if asked == Some(true) && !facts.page_checksums {
        tracing::warn!("checksum-page is on, but the cluster has no data checksums");
    }
    facts.page_checksums && asked != Some(false)
}

/// Logs where the backup ended, and what the server complained of.
fn report_stop(cluster: &dyn ConnectedCluster, stop: &BackupStop) {
    let segment = last_segment(cluster, stop);
    tracing::info!("backup stop archive = {segment}, lsn = {}", stop.lsn);
    for complaint in &stop.checksum_complaints {
        tracing::warn!("server message: {complaint}");
    }
}

/// Makes sure that the last WAL segment of the backup gets archived. A primary ends it by itself (`do_pg_backup_stop` in
/// `src/backend/access/transam/xlog.c` switches to a new segment), a standby cannot: there the primary is asked.
async fn end_last_segment(cluster: &dyn ConnectedCluster, stop: &BackupStop) {
    if cluster.source().facts().in_recovery {
        cluster.end_segment(last_segment(cluster, stop)).await;
    }
}

fn last_segment(cluster: &dyn ConnectedCluster, stop: &BackupStop) -> WalSegment {
    WalSegment::ending_at(stop.lsn, stop.timeline(), cluster.source().facts().wal_segment_size)
}
