//! The last steps of a backup: PostgreSQL's manifest, then ours, which makes the backup exist; or, where
//! it failed, the removal of what it wrote.

use super::{base, change_detection::ChangeDetection, cluster::Cluster, job::Job};
use crate::{
    backup::{
        self, BLOCK_SIZE, Taken,
        source::{BackupStart, Tablespace},
    },
    command::{Error, Result},
    repo::{
        self, contents,
        layout::{FILE_LIST, STARTED},
        manifest::{
            BlockFacts, ClusterRecord, DatabaseRecord, Manifest, Span, TablespaceRecord,
            WalPosition,
        },
        pg_manifest,
    },
    storage::EntryKind,
    types::{Sha256, escape_path},
    ui,
};

/// Writes what comes before the manifest, and makes that: all is ready to be published.
pub(super) async fn prepare(
    job: &Job<'_>,
    cluster: &Cluster,
    options: &backup::Options,
    start: &BackupStart,
    taken: Taken,
) -> Result<Manifest> {
    let storage = &*job.repo.storage;
    let pg = pg_manifest::write(storage, &job.paths, &taken.backup_manifest).await?;
    let prior = job.choice.base.as_ref().map(|base| &base.manifest);
    let mut totals = taken.written.totals;
    // Between the file list and the manifest there are only checks: a file list without a manifest counts as a backup
    // whose manifest was lost.
    let file_list = taken.written.list.finish().await?;
    totals.repo_size_delta += file_list.size + pg.size;
    totals.repo_size = totals.repo_size_delta + prior.map_or(0, |prior| prior.totals.repo_size);
    let references = job.choice.references();
    let manifest = Manifest {
        program_version: env!("CARGO_PKG_VERSION").to_owned(),
        label: job.label.clone(),
        stanza: job.stanza.clone(),
        prior: prior.map(|prior| prior.label.clone()),
        references,
        changes: job.changes.as_ref().map(ChangeDetection::record),
        full_reason: job.choice.full_reason.clone(),
        cluster: cluster_record(job, cluster),
        source: cluster.source.kind().name().to_owned(),
        timestamp_us: Span { start: job.started_us, stop: taken.stopped_us },
        copy_start_us: start.copy_start_us,
        wal: Span {
            start: WalPosition { lsn: start.lsn, timeline: start.timeline },
            stop: WalPosition { lsn: taken.stop.lsn, timeline: taken.stop.timeline() },
        },
        compression: options.compression,
        block: BlockFacts { size: BLOCK_SIZE, digest_key: Sha256(options.digest_key) },
        tablespaces: tablespaces(cluster, &start.tablespaces),
        databases: databases(cluster),
        totals,
        page_errors: taken.written.page_errors,
        left_out: taken.stop.left_out,
        misaligned_files: taken.written.misaligned_files,
        annotations: job.config.annotations.iter().cloned().collect(),
        archive_checked: job.config.archive.check,
        file_list,
        backup_manifest: pg,
    };
    job.check_notice().await?;
    base::check_references(&job.repo, job.stanza, &manifest.references).await?;
    Ok(manifest)
}

/// Publishes the backup and reports it. Nothing may cancel this, and nothing of the backup is removed after it: see
/// `repo::publication`.
pub(super) async fn publish(job: &Job<'_>, manifest: &Manifest) -> Result<()> {
    manifest.publish(&*job.repo.storage).await?;
    confirm(job, manifest).await?;
    report(manifest);
    report_left_out(manifest);
    Ok(())
}

/// Looks once more for all that the backup consists of and builds on. An expire of another host that took it for
/// interrupted removes the notice first, and the objects only where there is no manifest after that: so this look, after
/// the manifest is there, tells who was first.
async fn confirm(job: &Job<'_>, manifest: &Manifest) -> Result<()> {
    let storage = &*job.repo.storage;
    let looked = async {
        if !job.owns_label().await? {
            return Ok(Some(job.removed()));
        }
        match contents::check(storage, manifest).await {
            Err(error) if error.is_damage() => return Ok(Some(error.into())),
            other => other?,
        }
        match base::check_references(&job.repo, job.stanza, &manifest.references).await {
            Err(Error::Repo(error)) if error.is_not_found() => Ok(Some(error.into())),
            Err(error) => Err(error),
            Ok(()) => Ok(None),
        }
    };
    match looked.await {
        Ok(None) => Ok(()),
        Ok(Some(error)) => {
            // It is proven to be no backup: a manifest without what it names must not stay.
            storage.delete(&[job.paths.manifest().map_err(repo::Error::from)?]).await?;
            Err(error)
        }
        Err(error) => Err(Error::Unconfirmed { label: job.label.clone(), source: Box::new(error) }),
    }
}

fn cluster_record(job: &Job<'_>, cluster: &Cluster) -> ClusterRecord {
    let facts = cluster.source.facts();
    ClusterRecord {
        history_id: job.entry.id,
        system_id: facts.system_id,
        version: facts.version,
        version_num: facts.version_num,
        wal_segment_size: facts.wal_segment_size,
        page_size: facts.page_size,
        page_checksums: facts.page_checksums,
        data_directory_mode: facts.data_directory_mode,
    }
}

fn tablespaces(cluster: &Cluster, started: &[Tablespace]) -> Vec<TablespaceRecord> {
    let record = |tablespace: &Tablespace| {
        let known = cluster.tablespaces.iter().find(|known| known.oid == tablespace.oid);
        TablespaceRecord {
            oid: tablespace.oid,
            name: known.map(|known| known.name.clone()),
            location: escape_path(&tablespace.location),
        }
    };
    started.iter().map(record).collect()
}

fn databases(cluster: &Cluster) -> Vec<DatabaseRecord> {
    let record = |database: &crate::postgres::Database| DatabaseRecord {
        oid: database.oid,
        name: database.name.clone(),
    };
    cluster.databases.iter().map(record).collect()
}

fn report(manifest: &Manifest) {
    let totals = manifest.totals;
    tracing::info!("new backup label = {}", manifest.label);
    tracing::info!(
        "{} backup size = {}, file total = {}, stored = {}",
        manifest.kind(),
        ui::size(totals.size_delta),
        totals.files,
        ui::size(totals.repo_size_delta)
    );
    let damaged = manifest.damaged_files().len();
    if damaged > 0 {
        tracing::warn!(
            "damaged pages in {damaged} file(s): the backup is kept and marked; see info --set={}",
            manifest.label
        );
    }
}

/// The entries that the backup lacks, said where it ends.
fn report_left_out(manifest: &Manifest) {
    if !manifest.left_out.is_empty() {
        tracing::warn!(
            "{} link(s) of the data directory are not in the backup, which is marked; see info --set={}\n\
             HINT: --backup-source=local, on the host of the server and with its mounts, follows links; a link that \
             the server does not need can be removed",
            manifest.left_out.len(),
            manifest.label
        );
    }
}

/// Removes what a failed backup wrote before its manifest was sent. It was never visible; what cannot be removed now is
/// harmless.
pub(super) async fn discard(job: &Job<'_>) {
    let limit = std::time::Duration::from_secs(1);
    match tokio::time::timeout(limit, remove(job)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!("what the failed backup wrote is left behind: {error}"),
        Err(_) => tracing::warn!("what the failed backup wrote is left behind, out of sight"),
    }
}

async fn remove(job: &Job<'_>) -> Result<()> {
    let storage = &*job.repo.storage;
    // Where another backup took the label meanwhile, what is there is of that one.
    if !job.owns_label().await? {
        return Err(job.removed());
    }
    let entries = storage.list(job.paths.directory(), true).await?;
    let objects = entries
        .into_iter()
        .filter(|entry| matches!(entry.kind, EntryKind::Object { .. }))
        .map(|entry| entry.path);
    // With the file list, what is left would look like a backup of which the manifest was lost; without the notice,
    // like nobody's.
    let (first, rest): (Vec<_>, Vec<_>) = objects.partition(|path| path.file_name() == FILE_LIST);
    let (last, rest): (Vec<_>, Vec<_>) =
        rest.into_iter().partition(|path| path.file_name() == STARTED);
    for objects in [first, rest, last] {
        storage.delete(&objects).await?;
    }
    Ok(())
}
