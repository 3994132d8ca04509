//! The last steps of a backup: PostgreSQL's manifest, then ours, which makes the backup exist. A backup that failed before
//! is discarded: its objects are removed.

use std::time::Duration;

use super::{
    BLOCK_SIZE, BackupJob, Error, Result, TakenBackup,
    cluster::ConnectedCluster,
    pipeline::PipelineOutput,
    plan::ChangeDetection,
    source::{ClusterFacts, Tablespace},
};
use crate::{
    postgres::{Database, TablespaceInfo},
    repo::{
        contents,
        layout::{FILE_LIST, STARTED},
        manifest::{
            BlockFormat, ClusterRecord, DatabaseRecord, Manifest, Span, TablespaceRecord,
            WalPosition,
        },
        pg_manifest,
    },
    storage::EntryKind,
    types::{HistoryId, Sha256, escape_path},
};

/// Time that a failed backup has to remove its objects: the user who ended it waits.
const DISCARD_TIME_MAX: Duration = Duration::from_secs(1);

/// Writes PostgreSQL's backup_manifest and the file list and makes the manifest, ready to be published.
pub async fn prepare(
    job: &BackupJob,
    cluster: &dyn ConnectedCluster,
    taken: TakenBackup,
) -> Result<Manifest> {
    let BackupJob { target, options, plan, .. } = job;
    let TakenBackup { start, output } = taken;
    let PipelineOutput { stop, stopped_us, backup_manifest, written, .. } = output;
    let backup_manifest =
        pg_manifest::write(&*target.storage, &job.paths, &backup_manifest).await?;
    // Between the file list and the manifest there are only checks: a file list without a manifest counts as a backup
    // whose manifest was lost.
    let file_list = written.list.finish().await?;
    let prior = plan.base.as_ref().map(|base| &base.manifest);
    let mut totals = written.totals;
    totals.repo_size_delta += file_list.size + backup_manifest.size;
    totals.repo_size = totals.repo_size_delta + prior.map_or(0, |prior| prior.totals.repo_size);
    let manifest = Manifest {
        program_version: env!("CARGO_PKG_VERSION").to_owned(),
        label: plan.label.clone(),
        stanza: target.stanza.clone(),
        prior: prior.map(|prior| prior.label.clone()),
        references: plan.references.clone(),
        changes: plan.changes.as_ref().map(ChangeDetection::record),
        full_reason: plan.full_reason.clone(),
        cluster: cluster_record(target.entry.id, cluster.source().facts()),
        source: plan.source.name().to_owned(),
        timestamp_us: Span { start: job.started_us, stop: stopped_us },
        copy_start_us: start.copy_start_us,
        wal: Span {
            start: WalPosition { lsn: start.lsn, timeline: start.timeline },
            stop: WalPosition { lsn: stop.lsn, timeline: stop.timeline() },
        },
        compression: options.compression,
        block: BlockFormat { size: BLOCK_SIZE, digest_key: Sha256(job.digest_key) },
        tablespaces: tablespace_records(&cluster.details().tablespaces, &start.tablespaces),
        databases: database_records(&cluster.details().databases),
        totals,
        page_errors: written.page_errors,
        left_out: stop.left_out,
        misaligned_files: written.misaligned_files,
        annotations: options.annotations.clone(),
        archive_checked: options.archive_timeout.is_some(),
        file_list,
        backup_manifest,
    };
    // Hours may lie between the claim of the label and here. The looks come last, so that little time is left until the
    // manifest is written; the look after that decides.
    job.check_notice().await?;
    job.check_references().await?;
    Ok(manifest)
}

/// Publishes the backup. Nothing may cancel this: once the manifest is sent, the step cannot be taken back, see `repo::publication`. A backup for which this fails must not be discarded.
pub async fn publish(job: &BackupJob, manifest: &Manifest) -> Result<()> {
    manifest.publish(&*job.target.storage).await?;
    confirm(job, manifest).await
}

/// Looks once more for all that the backup consists of and builds on. An expire of another host that took it for
/// interrupted removes the notice first, and the objects only where there is no manifest after that. This looks for the
/// notice after the manifest is there. So at least one of the two sees the other.
async fn confirm(job: &BackupJob, manifest: &Manifest) -> Result<()> {
    let storage = &*job.target.storage;
    match why_void(job, manifest).await {
        Ok(None) => Ok(()),
        Ok(Some(error)) => {
            // It is proven to be no backup: a manifest without what it names must not stay.
            storage.delete(&[job.paths.manifest()?]).await?;
            Err(error)
        }
        // A look that failed proves nothing. The manifest stays, and so does what it names.
        Err(error) => {
            Err(Error::Unconfirmed { label: job.label().clone(), source: Box::new(error) })
        }
    }
}

/// Why the published manifest is proven to be that of no backup; `None` where all of the backup is there. An error where
/// that is not known.
async fn why_void(job: &BackupJob, manifest: &Manifest) -> Result<Option<Error>> {
    if !job.owns_label().await? {
        return Ok(Some(job.removed()));
    }
    match contents::check(&*job.target.storage, manifest).await {
        Err(error) if error.is_damage() => return Ok(Some(error.into())),
        other => other?,
    }
    match job.check_references().await {
        Err(Error::Repo(error)) if error.is_not_found() => Ok(Some(error.into())),
        Err(error) => Err(error),
        Ok(()) => Ok(None),
    }
}

fn cluster_record(history_id: HistoryId, facts: &ClusterFacts) -> ClusterRecord {
    ClusterRecord {
        history_id,
        system_id: facts.system_id,
        version: facts.version,
        version_num: facts.version_num,
        wal_segment_size: facts.wal_segment_size,
        page_size: facts.page_size,
        page_checksums: facts.page_checksums,
        data_directory_mode: facts.data_directory_mode,
    }
}

/// The tablespaces that the backup began with. One that SQL did not name yet has no name.
fn tablespace_records(named: &[TablespaceInfo], started: &[Tablespace]) -> Vec<TablespaceRecord> {
    let record = |tablespace: &Tablespace| {
        let named = named.iter().find(|named| named.oid == tablespace.oid);
        TablespaceRecord {
            oid: tablespace.oid,
            name: named.map(|named| named.name.clone()),
            location: escape_path(&tablespace.location),
        }
    };
    started.iter().map(record).collect()
}

fn database_records(databases: &[Database]) -> Vec<DatabaseRecord> {
    let record =
        |database: &Database| DatabaseRecord { oid: database.oid, name: database.name.clone() };
    databases.iter().map(record).collect()
}

/// Removes the objects of a backup that failed before its manifest was sent. The backup was never listed, and the next
/// expire removes what is left now.
pub async fn discard(job: &BackupJob) {
    match tokio::time::timeout(DISCARD_TIME_MAX, remove(job)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!("unable to remove the files of the failed backup: {error}")
        }
        Err(_) => tracing::warn!(
            "the files of the failed backup were not removed in time; expire removes them"
        ),
    }
}

async fn remove(job: &BackupJob) -> Result<()> {
    let storage = &*job.target.storage;
    // If another backup took the label meanwhile, the objects are its own.
    if !job.owns_label().await? {
        return Err(job.removed());
    }
    let entries = storage.list(job.paths.directory(), true).await?;
    let objects = entries
        .into_iter()
        .filter(|entry| matches!(entry.kind, EntryKind::Object { .. }))
        .map(|entry| entry.path);
    // The file list goes first: without a manifest it would look like a lost backup. The notice goes last: it says whose the
    // other objects are.
    let (first, rest): (Vec<_>, Vec<_>) = objects.partition(|path| path.file_name() == FILE_LIST);
    let (last, rest): (Vec<_>, Vec<_>) =
        rest.into_iter().partition(|path| path.file_name() == STARTED);
    for objects in [first, rest, last] {
        storage.delete(&objects).await?;
    }
    Ok(())
}
