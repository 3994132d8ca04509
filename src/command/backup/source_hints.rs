//! What a source is told of the prior backup, so that it can leave out what has not changed.

use super::{change_detection::ChangeDetection, job::Job};
use crate::{
    backup::{
        prior::Prior,
        source::{PriorFacts, SourceKind, ToldBy},
    },
    command::Result,
    postgres::BackupManifest,
    repo::{manifest::Manifest, pg_manifest},
    storage::Storage,
};

/// What the source is told; nothing where everything is to be read and compared.
pub(super) async fn facts(
    job: &mut Job<'_>,
    source: SourceKind,
    prior: Option<&mut Prior>,
) -> Result<Option<PriorFacts>> {
    let (Some(base), Some(prior)) = (&job.choice.base, prior) else { return Ok(None) };
    let storage = &*job.repo.storage;
    let by_summaries = job.changes == Some(ChangeDetection::Summaries);
    let told_by = match (source, by_summaries) {
        (SourceKind::Stream, false) => return Ok(None),
        (SourceKind::Stream, true) => match pg_manifest::read(storage, &base.manifest).await {
            Ok(manifest) => ToldBy::Summaries { backup_manifest: manifest.into() },
            // Only the server needs it: blocks can be compared without.
            Err(error) if error.is_damage() => {
                let changes = ChangeDetection::Fallback { reason: error.to_string() };
                changes.report();
                job.changes = Some(changes);
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        },
        (SourceKind::Local, by_summaries) => {
            learn_checksums(storage, &base.manifest, prior).await?;
            match (by_summaries, times(job.config.delta, &base.manifest)) {
                (true, _) => ToldBy::Summaries { backup_manifest: Default::default() },
                (false, Some(told_by)) => told_by,
                (false, None) => return Ok(None),
            }
        }
    };
    Ok(Some(PriorFacts { files: prior.files(), wal: base.manifest.wal, told_by }))
}

/// Files that are not read have the checksums they had. Without them the new backup_manifest has the
/// sizes alone.
async fn learn_checksums(storage: &dyn Storage, base: &Manifest, prior: &mut Prior) -> Result<()> {
    let reason = match pg_manifest::read(storage, base).await {
        Ok(bytes) => match BackupManifest::parse(&bytes) {
            Ok(manifest) => {
                prior.learn_checksums(&manifest);
                return Ok(());
            }
            Err(error) => error.to_string(),
        },
        Err(error) if error.is_damage() => error.to_string(),
        Err(error) => return Err(error.into()),
    };
    tracing::warn!("unchanged files will have no checksum in the backup_manifest: {reason}");
    Ok(())
}

/// Sizes and times of files, if they can be compared with the prior backup's.
fn times(delta: bool, base: &Manifest) -> Option<ToldBy> {
    if delta {
        return None;
    }
    let since_us = base.copy_start_us;
    if since_us.is_none() {
        tracing::info!(
            "all files are read and compared: backup {} was not read in a data directory",
            base.label
        );
    }
    since_us.map(|since_us| ToldBy::Times { since_us })
}
